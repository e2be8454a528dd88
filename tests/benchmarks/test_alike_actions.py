"""Dueling against DQN where most actions are alike: the world's true values, and who needs fewer steps."""

import sys
from pathlib import Path

import numpy as np
import pytest

from envs.probes import AlikeActions

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import alike_actions  # noqa: E402


def test_the_true_values_by_hand():
    # cos(0) 0.6 = 0.6, cos(pi) 0.2 = -0.2; action 0 brings 0.5 more; later steps are worth 0.5 each on average.
    seen = np.array([[0.0, 0.6, 0.0], [0.5, 0.2, 0.5]])
    np.testing.assert_allclose(AlikeActions(3, 1).q(seen[:1], 0.9), [[1.1, 0.6, 0.6]])
    np.testing.assert_allclose(AlikeActions(3, 2).q(seen, 0.9), [[1.55, 1.05, 1.05], [0.3, -0.2, -0.2]], atol=1e-7)


def test_the_true_values_are_what_games_bring():
    env, rng, gamma = AlikeActions(4, 3), np.random.default_rng(0), 0.9
    env.reset(seed=0)
    off = []
    for _ in range(4000):
        obs, _ = env.reset()
        action = rng.integers(4)
        truth, reward, total, discount, terminated = env.q(obs[None], gamma)[0, action], 0.0, 0.0, 1.0, False
        while not terminated:
            _, reward, terminated, _, _ = env.step(action)
            total, discount, action = total + discount * reward, discount * gamma, 0  # from here on the best
        off.append(total - truth)
    assert abs(np.mean(off)) < 4 * np.std(off) / len(off) ** 0.5
    assert np.std(off) > 0.1


@pytest.mark.slow
def test_the_dueling_network_needs_fewer_steps_with_many_actions_and_its_twin_without_the_shared_value_does_not():
    def steps(recipe):
        learner = alike_actions.Learner(recipe, AlikeActions(40), **alike_actions.SETTINGS)
        return [len(learner.errors(seed, rounds=60)) for seed in range(2)]

    ours, twin = (steps(recipe) for recipe in (alike_actions.dueling_dqn_cartpole, alike_actions.dqn_cartpole))
    assert max(ours) * 1.2 < min(twin) < 60
