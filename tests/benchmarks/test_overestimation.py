"""DQN's values against true ones: the judges by hand, and that Double DQN's are lower where all is noise."""

import sys
from pathlib import Path

import numpy as np
import pytest

from common.lazy import keras

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import overestimation  # noqa: E402


def constant(inputs, q):
    """A network whose action values are the same everywhere."""
    head = keras.layers.Dense(len(q), kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(q))
    obs = keras.Input((inputs,))
    return keras.Model(obs, head(obs))


def test_the_estimate_is_the_highest_value():
    assert overestimation.judge_noise(constant(3, [1.0, 3.0, 2.0])) == (3.0, 0.0)


def test_the_truth_is_the_return_that_followed():
    estimate, truth = overestimation.judge_cartpole(constant(4, [7.0, 5.0]), games=2)
    assert estimate == 7.0
    # Pushed to one side the pole falls after 8 to 10 steps; a game of n steps has the returns (1 - 0.98^k) / 0.02.
    by_length = {n: np.array([(1 - 0.98**k) / 0.02 for k in range(1, n + 1)]) for n in range(8, 11)}
    pairs = [np.concatenate([by_length[n], by_length[m]]).mean() for n in by_length for m in by_length]
    assert min(abs(truth - mean) for mean in pairs) < 1e-9


@pytest.mark.slow
def test_where_all_is_noise_both_are_too_high_and_double_dqn_less():
    settings, judge, interval = overestimation.WORLDS["noise"]
    settings = {**settings, "steps": 4000}
    dqn, double = (
        np.mean([overestimation.watch(recipe, settings, judge, interval, seed)[:, 1].mean() for seed in range(2)])
        for recipe in overestimation.RECIPES.values()
    )
    assert dqn > double > 0
