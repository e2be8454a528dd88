"""The bench: tables by hand, turns that go on where they were interrupted, settings by hand, texts that are current."""

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import bench  # noqa: E402
import ceilings  # noqa: E402
import programs  # noqa: E402
import sb3  # noqa: E402


def test_medians_of_which_some_never_come():
    assert bench.spread([3.0, 1.0, 2.0]) == "2 (1 to 3)" and bench.spread([None]) == "never"
    assert bench.spread([None, 120.4, None]) == "never (120 to never)"
    assert bench.number_in_words(12_345.6) == "12,346" and bench.number_in_words(0.98765) == "0.988"


def test_ratios_are_of_a_round_and_of_as_many_environments():
    found = {
        "ours": [300.0, 100.0, 200.0],
        bench.THEIRS: [100.0, 50.0, 50.0],
        "ours, 1 environment": [30.0, 30.0, 60.0],
        f"{bench.THEIRS}, 1 environment": [10.0, 30.0, 30.0],
    }
    assert bench.ratios(found, "ours") == [3, 2, 4]
    assert bench.ratios(found, "ours, 1 environment") == [3, 1, 2]
    assert bench.compared(found)[0] == ("ours", "200 (100 to 300)", "3 (2 to 4)")
    del found[f"{bench.THEIRS}, 1 environment"]
    assert bench.ratios(found, "ours, 1 environment") == [0.3, 0.6, 1.2]


def test_the_tables_by_hand():
    results = {
        "train:dqn_atari": {"ours": [200.0, 180.0], bench.THEIRS: [100.0, 90.0]},
        "score": {"ppo_cartpole": [10.0, None, 12.0], "a tutorial": [None, None, 90.0]},
        "ceilings": {
            "matrix product, 2048 x 2048, float32": [400.0],
            "update of dqn_atari, batch 32, float32": [100.0],
            "Pong, 8 emulators": [1900.0],
        },
        "growth": {"environments: step of Pong": [[[1, 10.0], [4, 30.0]], [[1, 20.0], [4, 30.0]]]},
    }
    assert "| `dqn_atari` | ours | 190 (180 to 200) | 2 (2 to 2) |" in bench.training(results)
    assert "| `dqn_atari` | 190 | 95 | 2.0 |" in bench.in_short(results)
    assert "| `ppo_cartpole` | 12 (10 to never) |" in bench.scores(results)
    assert "| a tutorial | never (90 to never) |" in bench.scores(results)
    table = bench.ceilings(results)
    assert "| matrix product, 2048 x 2048, float32 | 400 GFLOP/s |  |" in table
    assert "| update of dqn_atari, batch 32, float32 | 100 GFLOP/s | 25.0% of: matrix product, 2048 x 2048" in table
    assert "| `dqn_atari` trains | 190 steps/s | 10.0% of: Pong, 8 emulators |" in table
    assert "| step of Pong | 1 to 4 environments | 15 | 30 | 4 | 2 |" in bench.growth(results)


def test_a_page_gets_the_table_of_its_recipe_and_no_other():
    page = "a\n<!-- speed of dqn_atari -->\nold\n<!-- end -->\nb\n<!-- speed of ppo_atari -->\nstays\n<!-- end -->\n"
    found = bench.in_page(page, {"train:dqn_atari": {"ours": [20.0], bench.THEIRS: [10.0]}})
    assert found.startswith("a\n<!-- speed of dqn_atari -->\n| program |") and "| ours | 20 | 2 |" in found
    assert "old" not in found and "\nstays\n<!-- end -->\n" in found


def test_an_hour_without_growth_and_with_it():
    minutes = list(range(61))
    flat = {"hour": {"dqn_atari": [[[m, 500.0 if m > 10 else 300.0] for m in minutes]]}}
    grows = {"hour": {"dqn_atari": [[[m, 500.0 + m] for m in minutes]]}}
    assert "500 MB after ten minutes, 500 MB after 60" in bench.hour(flat) and "+0.0 MB per hour" in bench.hour(flat)
    assert "+60.0 MB per hour" in bench.hour(grows)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The part `memory` has two programs that only note their seed; `b` breaks in the second round, once."""
    calls, breaks = [], [True]

    def program(name):
        def run(seed):
            if (name, seed) == ("b", 1001) and breaks:
                breaks.clear()
                raise KeyboardInterrupt
            calls.append((name, seed))
            return 10.0 * seed

        return run

    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setitem(bench.PARTS, "memory", {"a": program("a"), "b": program("b")})
    with pytest.raises(KeyboardInterrupt):
        bench.measure("memory")
    assert bench.read_results() == {}  # a part that is not whole is not shown
    return calls


def test_a_share_mixes_no_two_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    for part, processor in (("ceilings", "one"), ("train:sac_pendulum", "one"), ("train:ppo_atari", "other")):
        bench.write_json(bench.file_of(part), {"machine": {"processor": processor, "cores": 2}})
    results = {"ceilings": 1, "train:sac_pendulum": 2, "train:ppo_atari": 3}
    assert bench.of_one_machine("ceilings", results) == {"ceilings": 1, "train:sac_pendulum": 2}


def test_programs_take_turns_and_go_on_where_they_were_interrupted(calls):
    bench.measure("memory")
    assert calls == [("a", 1000), ("b", 1000), ("b", 1001), ("a", 1001), ("a", 1002), ("b", 1002)]
    assert bench.read_results() == {"memory": {name: [10_000.0, 10_010.0, 10_020.0] for name in "ab"}}


def test_rounds_of_another_commit_are_not_mixed_in(calls, monkeypatch):
    other = {**bench.surroundings(), "git_commit": "another"}
    monkeypatch.setattr(bench, "surroundings", lambda: other)
    bench.measure("memory")
    assert calls.count(("a", 1000)) == 2 and len(calls) == 1 + 1 + 6


def test_a_program_that_is_new_makes_its_part_incomplete(calls, monkeypatch):
    bench.measure("memory")
    monkeypatch.setitem(bench.PARTS["memory"], "c", lambda seed: 0.0)
    assert bench.read_results() == {}


def test_what_the_processor_cannot_do_is_left_out(monkeypatch):
    found = {"plain": 1, "in bfloat16": 2}
    monkeypatch.setattr(bench, "has_bfloat16", lambda: False)
    assert bench.available(found) == {"plain": 1}
    monkeypatch.setattr(bench, "has_bfloat16", lambda: True)
    assert bench.available(found) == found


def test_steps_per_second_by_hand():
    """An update of 5 s after each 100 steps, of which each takes 0.01 s; games end at places of their own."""
    steps = np.array([50, 130, 180, 310, 390, 430, 480])
    seconds = 0.01 * steps + 5 * (steps // 100)
    episodes = {"step": steps, "seconds": seconds}
    # From the first after 100 steps, 130, to 430 of the later half: 300 steps, 3 updates.
    assert programs.steps_per_second(episodes, 100, 100) == pytest.approx(300 / (3 + 15))
    assert programs.steps_per_second(episodes, 100, 1) == pytest.approx(350 / (3.5 + 15))  # the last game


def settings_for(recipe, changed):
    _, warm_up, changed = programs.TRAIN[recipe][changed]
    settings = programs.settings_of(programs.STANDS_FOR.get((recipe, programs.THEIRS), recipe), changed)
    return {"updates": settings.get("minibatches"), **settings, "recipe": recipe, "warm_up": warm_up, "seed": 7}


def test_the_settings_of_stable_baselines3_by_hand():
    a2c = sb3.arguments(settings_for("a2c_cartpole", programs.THEIRS))
    assert a2c["n_steps"] == 5 and a2c["use_rms_prop"] is False and a2c["seed"] == 7
    ppo = sb3.arguments(settings_for("ppo_cartpole", programs.THEIRS))
    assert (ppo["n_steps"], ppo["n_epochs"], ppo["batch_size"], ppo["clip_range"]) == (32, 20, 256, 0.2)
    dqn = sb3.arguments(settings_for("dqn_cartpole", programs.THEIRS))
    # 64 steps of 8 environments between two rounds of 32 updates; a copy after each 32 updates, so after 64 steps.
    assert (dqn["train_freq"], dqn["gradient_steps"], dqn["target_update_interval"]) == (8, 32, 64)
    assert dqn["n_steps"] == 3 and dqn["max_grad_norm"] == 10 and dqn["exploration_fraction"] == 0.4
    one = sb3.arguments(settings_for("dqn_cartpole", f"{programs.THEIRS}, 1 environment"))
    assert (one["train_freq"], one["gradient_steps"], one["target_update_interval"]) == (64, 32, 64)
    atari = sb3.arguments(settings_for("dqn_atari", programs.THEIRS))
    # An update for each 4 steps: two after one step of all 8; a copy after each 250 updates, so after 1,000 steps.
    assert (atari["train_freq"], atari["gradient_steps"], atari["target_update_interval"]) == (1, 2, 1000)
    td3 = sb3.arguments(settings_for("td3_pendulum", programs.THEIRS))
    assert (td3["train_freq"], td3["gradient_steps"], td3["batch_size"], td3["policy_delay"]) == (8, 64, 256, 2)
    sac = sb3.arguments(settings_for("sac_pendulum", f"{programs.THEIRS}, 1 environment"))
    assert (sac["train_freq"], sac["gradient_steps"], sac["target_entropy"]) == (1, 1, -1.0)
    assert "target_entropy" not in sb3.arguments(settings_for("ddpg_pendulum", programs.THEIRS))


def test_a_rate_that_falls_ends_at_0_and_stays_there():
    rate = sb3.falling(0.5, {"steps": 200, "decay_steps": 100})
    assert [rate(left) for left in (1.0, 0.75, 0.5, 0.0)] == [0.5, 0.25, 0, 0]
    assert sb3.falling(0.5, {"steps": 200}) == 0.5


def test_each_setting_is_one_of_its_recipe():
    for recipe, found in programs.TRAIN.items():
        for name, (measure, _, changed) in found.items():
            which = programs.STANDS_FOR.get((recipe, name), recipe)
            known = inspect.signature(importlib.import_module(f"recipes.{which}").train).parameters
            extra = set() if measure is programs.ours else {"steps", "updates"}  # of the other programs
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
    for part in results:
        assert "dirty" not in json.loads(bench.file_of(part).read_text())["git_commit"]
    for path, text in bench.texts(results).items():
        assert path.read_text() == text, path
