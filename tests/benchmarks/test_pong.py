"""The minutes to Pong: both rules by hand, the words of the table, and a page that shows what the runs gave."""

import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import pong  # noqa: E402

GAMES = {
    "episode_return": np.array([18.0, 17, 18, 18, 19]),
    "step": np.array([10, 20, 30, 40, 50]),
    "seconds": np.array([60.0, 120, 180, 240, 300]),
}


@pytest.mark.parametrize(
    ("games", "goal", "wanted"),
    [
        (1, 18.0, (1, 10)),  # the first game has it
        (2, 18.0, (4, 40)),  # means 17.5, 17.5, 18, 18.5
        (2, 18.01, (5, 50)),
        (3, 18.0, (5, 50)),  # 17.67, 17.67, 18.33
        (4, 18.5, None),
        (6, 0.0, None),  # fewer games than that were played
    ],
)
def test_the_moment_of_a_goal_by_hand(games, goal, wanted):
    assert pong.moment(GAMES, games, goal) == wanted


def test_medians_of_which_some_never_come():
    assert pong.spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0 to 3.0)"
    assert pong.spread([1.0, None, None], 1) == "never (1.0 to never)"
    assert pong.spread([1.0, None, 2.0], 0) == "2 (1 to never)"
    assert pong.spread([1234.5], 0) == "1,234" and pong.spread([None], 1) == "never"


@pytest.mark.parametrize("recipe", pong.SETTINGS)
def test_each_flag_is_one_of_the_recipe(recipe):
    parameters = inspect.signature(importlib.import_module(f"recipes.{recipe}").train).parameters
    for flags, *_ in pong.SETTINGS[recipe].values():
        for flag in flags.split():
            name, value = flag.removeprefix("--").split("=")
            assert value != str(parameters[name].default)


@pytest.mark.parametrize("recipe", pong.SETTINGS)
def test_the_results_are_of_commits_and_of_new_seeds(recipe):
    for name, runs in pong.saved(recipe).items():
        assert [run["seed"] for run in runs] == [1000 + i for i in range(len(runs))]
        assert len(runs) <= pong.SETTINGS[recipe][name][2] and not any("dirty" in run["git_commit"] for run in runs)


def test_the_pages_show_the_results():
    found = pong.texts()
    assert {path.name for path in found} >= {"ppo_atari.md", "ppo_atari.py"}
    for path, text in found.items():
        assert path.read_text() == text
    small = pong.saved("ppo_atari")["small bfloat16"]
    assert pong.in_words(small) in (ROOT / "recipes" / "ppo_atari.py").read_text()
    scores, minutes = [run["score"] for run in small], np.median([run["minutes"] for run in small])
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"in {minutes:.0f} minutes on one core" in readme
    assert f"earns {np.median(scores):.2f} in 100 greedy games" in readme and f"the lowest {min(scores):.2f}" in readme
