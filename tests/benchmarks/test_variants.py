"""What one setting is worth: each change can be made, and the figures are counted as they are said to be."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import variants  # noqa: E402

RESULTS = ROOT / "book" / "results"
CHANGES = [(recipe, name) for recipe in variants.VARIANTS for name in variants.VARIANTS[recipe]]


@pytest.mark.parametrize(("recipe", "name"), CHANGES, ids="{}".format)
def test_each_change_can_be_made_and_changes_something(recipe, name):
    flags, replacements = variants.VARIANTS[recipe][name]
    parameters = inspect.signature(importlib.import_module(f"recipes.{recipe}").train).parameters
    for flag in flags.split():
        parameter, value = flag.removeprefix("--").split("=")
        assert value != str(parameters[parameter].default).lower()
    text = (ROOT / "recipes" / f"{recipe}.py").read_text()
    assert (variants.changed(text, replacements) != text) == bool(replacements)
    compile(variants.changed(text, replacements), name, "exec")


def test_a_piece_that_is_not_there_once_is_refused():
    for text in ("", "aa"):
        with pytest.raises(AssertionError):
            variants.changed(text, {"a": "b"})


def test_steps_until_the_last_games_average_the_goal():
    episodes = {"episode_return": np.array([0.0, 500, 450, 500, 500]), "step": np.array([10, 20, 30, 40, 50])}
    # Means of two games: 250, 475, 475, 500; the first 475 is that of the games that end at step 30.
    assert variants.steps_to(episodes, games=2) == 30
    assert variants.steps_to(episodes, games=3) == 40  # means 316.7, 483.3, 483.3
    assert variants.steps_to({name: rows[:2] for name, rows in episodes.items()}, games=2) is None


def test_the_pages_are_what_the_results_say_and_these_are_of_all_seeds_and_of_commits():
    measured = [recipe for recipe in variants.VARIANTS if (RESULTS / recipe / "variants.json").exists()]
    assert "ppo_cartpole" in measured
    for recipe in measured:
        results = json.loads((RESULTS / recipe / "variants.json").read_text())
        assert list(results) == list(variants.VARIANTS[recipe])
        for runs in results.values():
            assert [run["seed"] for run in runs] == list(range(variants.SEEDS[recipe]))
            assert not any(run["git_commit"].endswith("-dirty") for run in runs)
        page = (ROOT / "book" / f"{recipe}.md").read_text()
        assert page == variants.with_table(page, recipe, results)
        assert variants.table(results) in (RESULTS / recipe / "variants.md").read_text()


@pytest.mark.parametrize("recipe", variants.VARIANTS)
def test_every_page_has_a_place_for_its_table(recipe):
    page = (ROOT / "book" / f"{recipe}.md").read_text()
    runs = [{"score": 500.0, "steps_to_475": 1000}]
    assert "| as it is | 1 of 1 |" in variants.with_table(page, recipe, {"as it is": runs})


def test_a_table_by_hand():
    runs = [{"score": s, "steps_to_475": n} for s, n in ((500.0, 1000), (400.0, None), (500.0, 3000))]
    lines = variants.table({"as it is": runs, "worse": runs[1:2]}).splitlines()
    assert lines[2:] == [
        "| as it is | 2 of 3 | 400.00 | 466.67 | 3,000 |",
        "| worse | 0 of 1 | 400.00 | 400.00 | not reached |",
    ]
