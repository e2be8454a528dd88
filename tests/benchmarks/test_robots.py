"""Curves beside published ones: the evaluation that counts at a step, the table by hand, and flags of the recipe."""

import inspect
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import robots  # noqa: E402

from recipes.sac_pendulum import train  # noqa: E402

RUN = {
    "step": [50_000, 100_032, 150_000, 200_000, 500_000],
    "mean": [1.0, 2.0, 1234.4, 4.0, 5.0],
    "deviation": [0.1, 0.2, 56.7, 0.4, 0.5],
    "seconds": [60.0, 120.0, 180.0, 240.0, 3600.0],
    "machine": {"processor": "Abacus"},
}


def test_the_evaluation_that_is_nearest_to_a_step():
    assert robots.at(RUN, 50_000) == (1.0, 0.1)
    assert robots.at(RUN, 100_000) == (2.0, 0.2)  # it comes 32 steps later
    assert robots.at(RUN, 174_999) == (1234.4, 56.7)
    assert robots.at(RUN, 175_001) == (4.0, 0.4)


def test_the_table_by_hand():
    rows = robots.table({"Hopper-v5": RUN}).splitlines()
    assert rows[0] == "| steps | Hopper-v5 | Tianshou |"
    assert rows[3] == "| 200,000 | 4 ± 0 | 3,234 ± 314 |"
    assert len(rows) == 2 + 5 + 2 and rows[-1] == "One core of an Abacus for each: 60 minutes for Hopper-v5."


def test_each_flag_is_one_of_the_recipe_and_the_steps_are_those_of_the_table():
    parameters = inspect.signature(train).parameters
    flags = dict(flag.removeprefix("--").split("=") for flag in robots.FLAGS.split())
    assert all(value != str(parameters[name].default) for name, value in flags.items())
    for theirs in robots.THEIRS.values():
        assert list(theirs) == list(range(50_000, int(flags["steps"]) + 1, 50_000))


def test_the_page_shows_the_runs_that_there_are():
    path, page = robots.FOLDER / "mujoco.json", robots.PAGE.read_text()
    results = json.loads(path.read_text()) if path.exists() else {}
    results = {world: results[world] for world in robots.THEIRS if world in results}
    assert robots.with_table(page, results) == page if results else "<!-- mujoco -->\n<!-- end -->" in page
