"""The blind cliffwalk: its memory by hand, and which order of replay is faster."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import blind_cliffwalk  # noqa: E402


def test_the_memory_holds_the_steps_of_all_games():
    world = blind_cliffwalk.Cliffwalk(3, np.random.default_rng(0))
    # Of 8 games 4 end at the first state, 2 at the second, 1 at the third, and 1 is right: 4·1 + 2·2 + 1·3 + 3 = 14.
    assert np.bincount(world.entries).tolist() == [4, 4, 2, 2, 1, 1] and len(world.entries) == 2**4 - 2
    assert sum(world.reward[entry] for entry in world.entries) == 1
    np.testing.assert_allclose(world.truth, [4 / 9, 0, 2 / 3, 0, 1, 0])  # gamma = 1 - 1/3


def test_an_update_by_hand_and_what_it_gains():
    world = blind_cliffwalk.Cliffwalk(2, np.random.default_rng(0))
    world.q[:] = [0.2, 0.0, 0.4, 0.0, 0.0, 0.0]
    assert world.error(0) == pytest.approx(0.0) and world.error(2) == pytest.approx(0.6)  # 0.5·0.4 - 0.2, 1 - 0.4
    assert world.gain(2) == pytest.approx(0.6**2 - 0.45**2)
    assert world.learn(2) == pytest.approx(0.6) and world.q[2] == pytest.approx(0.55)


def test_the_running_sum_of_squares_is_the_sum():
    world = blind_cliffwalk.Cliffwalk(4, np.random.default_rng(0))
    for row in np.random.default_rng(1).integers(len(world.entries), size=1000):
        world.learn(world.entries[row])
    assert world.squares == pytest.approx(np.sum(np.subtract(world.q[:-2], world.truth) ** 2))


def test_priorities_are_faster_than_a_uniform_draw_and_the_oracle_is_fastest(monkeypatch):
    def median(method):
        return np.median([blind_cliffwalk.updates(7, method, seed) for seed in range(5)])

    uniform, ours, oracle = (median(method) for method in ("uniform", "prioritized, alpha 0.6", "oracle"))
    assert uniform > 3 * ours and ours > 2 * oracle
    monkeypatch.setitem(blind_cliffwalk.ALPHAS, "prioritized, alpha 0.6", 0.0)  # all priorities alike
    assert median("prioritized, alpha 0.6") > 0.5 * uniform
