"""The public bars: every command exists, and the page is what the results say."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import bars  # noqa: E402

RUNS = [(task, recipe) for task in bars.SETTINGS for recipe in bars.SETTINGS[task]]


@pytest.mark.parametrize(("task", "recipe"), RUNS, ids="{}".format)
def test_every_flag_of_a_command_is_one_of_its_recipe(task, recipe):
    train = importlib.import_module(f"recipes.{recipe}").train
    flags = [word.removeprefix("--").split("=")[0] for word in bars.command(task, recipe).split()[2:]]
    assert set(flags) <= set(inspect.signature(train).parameters) and len(flags) == len(set(flags))


def test_a_table_by_hand():
    runs = [{"score": score, "seconds": seconds} for score, seconds in ((500.0, 10), (400.0, 30), (500.0, 20))]
    lines = bars.table("CartPole-v1", {"dqn_cartpole": runs, "pqn_cartpole": [{"score": 500.0, "seconds": 5}]})
    assert "| `dqn_cartpole` | 2 of 3 | 466.67 | 400.00 | 500.00 | 500.00 | 20 |" in lines
    assert lines.index("`pqn_cartpole` |") < lines.index("`dqn_cartpole` |")  # the best first


def test_the_short_table_by_hand():
    runs = [{"score": score, "seconds": 10} for score in (500.0, 400.0)]
    long = [{"score": -80.0, "seconds": 200}]
    lines = bars.in_short({"CartPole-v1": {"dqn_cartpole": runs}, "Acrobot-v1-1M": {"ppo_cartpole": long}}).splitlines()
    assert lines[2:] == [
        "| CartPole-v1 | `dqn_cartpole` | 50,000 | 450.00, 400.00 | 10 s |",
        "| Acrobot-v1 | `ppo_cartpole` | 1,000,000 | -80.00, -80.00 | 3 min |",
    ]


def test_a_recipe_whose_defaults_are_for_a_task_has_the_runs_of_its_results():
    of = {"value": np.array([500.0, 400]), "seconds": [9.5, 9], "machine": {"processor": "abacus"}}
    assert bars.as_runs(of) == [
        {"score": 500.0, "seconds": 9.5, "processor": "abacus"},
        {"score": 400.0, "seconds": 9, "processor": "abacus"},
    ]
    for task, recipe in RUNS:
        train = importlib.import_module(f"recipes.{recipe}").train
        if bars.SETTINGS[task][recipe] is None:
            assert inspect.signature(train).parameters["env_id"].default == bars.BARS[task][0]
            assert bars.command(task, recipe) == f"python recipes/{recipe}.py"


def test_the_pages_are_what_the_results_say_and_these_are_of_all_seeds_and_of_commits():
    results = json.loads((bars.RESULTS / "bars.json").read_text())
    assert list(results) == [f"{task}:{recipe}" for task, recipe in RUNS if bars.SETTINGS[task][recipe] is not None]
    for name, runs in results.items():
        assert [run["seed"] for run in runs] == list(range(bars.seeds_of(name))), name
        assert not any(run["git_commit"].endswith("-dirty") for run in runs), name
    for path, text in bars.texts(results).items():
        assert path.read_text() == text, f"{path}: python benchmarks/bars.py writes it anew"
