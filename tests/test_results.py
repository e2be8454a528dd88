"""Every figure in README, pages and docstrings that stems from book/results/ is the one that stands there."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from common.files import read_episodes

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
sys.path.insert(0, str(ROOT / "benchmarks"))
import five_seeds  # noqa: E402

FIVE = json.loads((RESULTS / "five_seeds.json").read_text())
TEXTS = five_seeds.texts(FIVE)


def test_there_are_five_seeds_of_every_run_and_each_reached_its_goal():
    assert FIVE.keys() == five_seeds.GOALS.keys()
    for name, runs in FIVE.items():
        assert len(runs) == five_seeds.SEEDS
        assert all(run["value"] >= five_seeds.GOALS[name][3] for run in runs), name


def test_every_quick_recipe_and_its_page_show_their_results():
    recipes = {recipe for recipe, *_ in five_seeds.GOALS.values()}
    assert {path.stem for path in TEXTS if path.suffix == ".py"} == recipes
    marks = {path: set(five_seeds.MARKED.findall(path.read_text())) for path in TEXTS if path.suffix == ".md"}
    assert set().union(*marks.values()) == {"all"} | recipes and marks[ROOT / "README.md"] == {"all"}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_its_figures_are_those_of_the_results(path):
    assert path.read_text() == TEXTS[path], "python benchmarks/five_seeds.py writes them anew"


def test_the_results_stem_from_a_commit():
    commits = {run["git_commit"] for runs in FIVE.values() for run in runs}
    assert not [commit for commit in commits if not re.fullmatch(r"[0-9a-f]{12}", commit)]


@pytest.mark.parametrize("name", ["README.md", "recipes/dqn_atari.py", "book/dqn_atari.md"])
def test_pongs_figures_are_those_of_its_run(name):
    run, text = RESULTS / "dqn_atari_pong", " ".join((ROOT / name).read_text().split())
    scores = np.array(json.loads((run / "evaluation.json").read_text())["scores"])
    episodes = read_episodes(run)
    assert f"{scores.mean():.2f} ± {scores.std():.2f}" in text and f"{len(scores)} games" in text
    assert f"{int(episodes['step'][-1]):,}" in text
    minutes, seconds = episodes["seconds"][-1] / 60, f"{episodes['seconds'][-1]:,.0f}"
    assert f"{minutes:.0f} minutes" in text or seconds in text
