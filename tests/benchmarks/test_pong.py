"""The minutes to Pong: both rules by hand, the words of the table, and a page that shows what the runs gave."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import pong  # noqa: E402

from common.files import read_episodes  # noqa: E402
from recipes import hardcoded_cartpole  # noqa: E402

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


def test_what_is_kept_of_a_run_is_what_the_run_says(tmp_path):
    run = hardcoded_cartpole.train(episodes=25, logdir=str(tmp_path / "run"))
    kept, episodes = pong.summary(run, 0), read_episodes(run)
    assert kept["score"] == np.mean(json.loads((run / "evaluation.json").read_text())["scores"])
    assert kept["last_20_at_18"][1] == episodes["step"][19]  # the hand-written rule is above 18 from the start
    last = episodes["episode_return"][-20:].mean()
    for curve, column in (("curve", "seconds"), ("curve_in_steps", "step")):
        x, y = kept[curve]
        assert x[-1] == pytest.approx(episodes[column][-1], abs=0.06) and y[-1] == pytest.approx(last, abs=0.006)


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
    small, rainbow = pong.saved("ppo_atari")["small bfloat16"], pong.saved("rainbow_atari")["Rainbow"]
    for recipe, runs in (("ppo_atari", small), ("rainbow_atari", rainbow)):
        assert pong.in_words(recipe, runs) in (ROOT / "recipes" / f"{recipe}.py").read_text()
    scores, minutes = [run["score"] for run in small], np.median([run["minutes"] for run in small])
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"in {minutes:.0f} minutes on one core" in readme
    assert f"earns {np.median(scores):.2f} in 100 greedy games" in readme and f"the lowest {min(scores):.2f}" in readme
