"""The bench: tables by hand, turns that go on where they were interrupted, flags that exist, texts that are current."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import bench  # noqa: E402
import ceilings  # noqa: E402


def test_medians_of_which_some_never_come():
    assert bench.spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert bench.spread([None, 120.4, None]) == "never (120 to never)"
    assert bench.number(12_345.6) == "12,346" and bench.number(0.98765) == "0.988"


def test_the_tables_by_hand():
    results = {
        "train:dqn_atari": {"ours": [200.0, 180.0], bench.TIMES: [90.0, 100.0]},  # medians 190 and 95
        "score": {"ppo_cartpole": [10.0, None, 12.0], "a tutorial": [None, None, 90.0]},
        "ceilings": {
            "matrix product, 2048 x 2048, float32": [400.0],
            "update of dqn_atari, batch 32, float32": [100.0],
            "Pong, 8 emulators": [1900.0],
        },
        "growth": {"environments: step of Pong": [[[1, 10.0], [4, 30.0]], [[1, 20.0], [4, 30.0]]]},
    }
    assert "| `dqn_atari` | ours | 190 (180 to 200) | 2.00 |" in bench.training(results)
    assert "| `dqn_atari` | 190 | 95 | 2.0 |" in bench.in_short(results)
    assert "| `ppo_cartpole` | 12 (10 to never) |" in bench.scores(results)
    assert "| a tutorial | never (90 to never) |" in bench.scores(results)
    table = bench.ceilings(results)
    assert "| update of dqn_atari, batch 32, float32 | 100 GFLOP/s | 25% |" in table
    assert "| `dqn_atari` trains | 190 steps/s | 10.0% of: Pong, 8 emulators |" in table
    assert "| step of Pong | 1 to 4 environments | 15 | 30 | 4 | 2 |" in bench.growth(results)


def test_an_hour_without_growth_and_with_it():
    minutes = list(range(61))
    flat = {"hour": {"dqn_atari": [[[m, 500.0 if m > 10 else 300.0] for m in minutes]]}}
    grows = {"hour": {"dqn_atari": [[[m, 500.0 + m] for m in minutes]]}}
    assert "500 MB after ten minutes, 500 MB after 60" in bench.hour(flat) and "+0.0 MB per hour" in bench.hour(flat)
    assert "+60.0 MB per hour" in bench.hour(grows)


def test_programs_take_turns_and_go_on_where_they_were_interrupted(tmp_path, monkeypatch):
    calls, breaks = [], [True]

    def program(name):
        def run(number):
            if (name, number) == ("b", 1) and breaks:
                raise KeyboardInterrupt
            calls.append((name, number))
            return 10.0 * number

        return run

    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setitem(bench.PARTS, "memory", {"a": program("a"), "b": program("b")})
    with pytest.raises(KeyboardInterrupt):
        bench.measure("memory")
    assert bench.read_results() == {}  # a part that is not whole is not shown
    breaks.clear()
    bench.measure("memory")
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert bench.read_results() == {"memory": {"a": [0.0, 10.0, 20.0], "b": [0.0, 10.0, 20.0]}}


def test_what_the_processor_cannot_do_is_left_out(monkeypatch):
    programs = {"plain": 1, "in bfloat16": 2}
    monkeypatch.setattr(bench, "has_bfloat16", lambda: False)
    assert bench.available(programs) == {"plain": 1}
    monkeypatch.setattr(bench, "has_bfloat16", lambda: True)
    assert bench.available(programs) == programs


def test_each_flag_is_one_of_its_recipe():
    for recipe, programs in bench.TRAIN.items():
        for name, (measure, _, changed) in programs.items():
            which = recipe if name.startswith("ours") else bench.SAME.get(recipe, recipe)
            known = inspect.signature(importlib.import_module(f"recipes.{which}").train).parameters
            extra = set() if measure is bench.ours else {"steps", "updates"}  # of Stable-Baselines3's program
            assert {*changed} <= {*known} | extra, (recipe, name)


def test_the_arithmetic_of_the_network_is_that_of_its_layers():
    model = importlib.import_module("recipes.dqn_atari").build_q_network(ceilings.SCREEN, ceilings.ACTIONS)
    products = 0
    for layer in model.layers:
        if layer.get_weights():
            weights = layer.get_weights()[0]
            places = layer.output.shape[1] * layer.output.shape[2] if weights.ndim == 4 else 1
            products += places * weights.size
    assert 2 * (products - 512 * ceilings.ACTIONS) == ceilings.FORWARD  # the last layer is left out


def test_the_texts_are_current_and_of_commits():
    results = bench.read_results()
    assert results, "nothing is measured"
    for path in bench.FOLDER.glob("*.json"):
        assert "dirty" not in json.loads(path.read_text())["git_commit"]
    for path, text in bench.texts(results).items():
        assert path.read_text() == text, path
