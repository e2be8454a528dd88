"""Games that are played again are the games that were played."""

import numpy as np
import pytest

from envs.checked import make_vec
from envs.repeatable import Repeatable


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"])
def test_games_are_played_again_from_their_seed_and_actions(env_id):
    rng, one, other = np.random.default_rng(0), *(Repeatable(make_vec(env_id, 3, "vectors")) for _ in range(2))
    one.reset(seed=5)
    for _ in range(100):
        one.step(rng.integers(one.single_action_space.n, size=3))
    other.reset(seed=8)
    other.load(one.state())
    for _ in range(100):
        actions = rng.integers(one.single_action_space.n, size=3)
        for x, y in zip(one.step(actions)[:4], other.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(x, y)
