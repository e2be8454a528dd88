"""TD3's values against true ones: the judge by hand."""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import overestimation_td3  # noqa: E402


def constant(inputs, outputs):
    """A network whose outputs are the same everywhere."""
    inputs = [keras.Input((size,)) for size in inputs]
    joined = keras.layers.Concatenate()(inputs) if len(inputs) > 1 else inputs[0]
    bias = keras.initializers.Constant(outputs)
    head = keras.layers.Dense(len(outputs), kernel_initializer="zeros", bias_initializer=bias)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], head(joined))


@pytest.mark.parametrize("q", [[-3.0], [-3.0, -5.0]])
def test_the_estimate_is_that_of_the_first_critic_and_the_truth_the_return_that_followed(q):
    estimate, truth = overestimation_td3.judge_pendulum(constant([3], [0.0]), constant([3, 1], q), games=2, horizon=100)
    assert estimate == -3.0
    # Without torque the pendulum swings. gymnasium's rules: the cost is angle² + speed² / 10, the speed grows by
    # 15 sin(angle) * 0.05, and the angle by the speed * 0.05.
    rewards = []
    for x, speed in starts(2):
        rewards.append([])
        for _ in range(200):
            angle = (x + np.pi) % (2 * np.pi) - np.pi
            rewards[-1].append(-(angle**2 + 0.1 * speed**2))
            speed = np.clip(speed + 15 * np.sin(x) * 0.05, -8, 8)
            x += speed * 0.05
    weights = 0.98 ** np.arange(200)
    wanted = [np.sum(reward[t:] * weights[: 200 - t]) for reward in np.array(rewards) for t in range(100)]
    assert truth == pytest.approx(np.mean(wanted), rel=1e-3)


def test_where_all_is_noise_the_truth_is_0():
    assert overestimation_td3.judge_noise(constant([3], [0.0] * 4), constant([3, 4], [2.0, 1.0])) == (2.0, 0.0)


@pytest.mark.slow
def test_where_all_is_noise_twins_are_less_too_high():
    settings, judge, interval = overestimation_td3.WORLDS["noise"]
    twins, single = (
        np.mean([
            overestimation_td3.watch(recipe, {**settings, **flags, "steps": 4000}, judge, interval, seed)[:, 1].mean()
            for seed in range(2)
        ])
        for recipe, flags in list(overestimation_td3.VARIANTS.values())[:2]
    )  # fmt: skip
    assert single > max(twins, 0.5)


def starts(games):
    """Angle and speed at the beginning of the games that are judged."""
    envs = gym.make_vec("Pendulum-v1", num_envs=games)
    (cos, sin, speed) = envs.reset(seed=1)[0].astype(float).T
    return list(zip(np.arctan2(sin, cos), speed, strict=True))
