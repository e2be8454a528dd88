"""The public bars: every command exists, and the page is what the results say."""

import importlib
import inspect
import json
import sys
from pathlib import Path

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
    runs = [{"score": score, "steps": 50_007, "seconds": 10} for score in (500.0, 400.0)]
    long = [{"score": -80.0, "steps": 1_000_321, "seconds": 200}]
    lines = bars.in_short({"CartPole-v1": {"dqn_cartpole": runs}, "Acrobot-v1-1M": {"ppo_cartpole": long}}).splitlines()
    assert lines[2:] == [
        "| CartPole-v1 | `dqn_cartpole` | 50,000 | 450.00, 400.00 | 10 s |",
        "| Acrobot-v1 | `ppo_cartpole` | 1,000,000 | -80.00, -80.00 | 3 min |",
    ]


def test_the_line_of_a_docstring_by_hand():
    runs = [{"score": s, "seconds": 9.6, "processor": "abacus"} for s in (500.0, 400.0)]
    assert bars.in_words(runs, 500).splitlines() == [
        "Ten seeds, 100 greedy games each: mean 450.00, lowest 400.00, 1 at 500;",
        "10 s of training on one core of an abacus (book/results/bars.md)",
    ]
    assert "1 at 450 or more;" in bars.in_words(runs, 450)
    for recipe in {recipe for _, recipe in RUNS}:
        assert len(bars.IN_DOCSTRING.findall((ROOT / "recipes" / f"{recipe}.py").read_text())) == 1


def test_the_pages_are_what_the_results_say_and_these_are_of_all_seeds_and_of_commits():
    results = json.loads((bars.RESULTS / "bars.json").read_text())
    assert list(results) == [f"{task}:{recipe}" for task, recipe in RUNS]
    for name, runs in results.items():
        assert [run["seed"] for run in runs] == list(range(bars.seeds_of(name))), name
        assert not any(run["git_commit"].endswith("-dirty") for run in runs), name
    for path, text in bars.texts(results).items():
        assert path.read_text() == text, f"{path}: python benchmarks/bars.py writes it anew"
