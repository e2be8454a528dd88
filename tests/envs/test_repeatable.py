"""Games that are played again are the games that were played."""

import gymnasium as gym
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


class Unseeded(gym.Env):
    """Shows numbers that no seed decides."""

    observation_space, action_space = gym.spaces.Box(0, 1, (1,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.random.default_rng().random(1, np.float32), {}

    def step(self, action):
        return np.random.default_rng().random(1, np.float32), 1.0, False, False, {}


gym.register("repeatable/Unseeded-v0", entry_point=Unseeded)


def test_an_environment_that_does_not_repeat_itself_is_noticed():
    envs = Repeatable(make_vec("repeatable/Unseeded-v0", 2, "vectors"))
    envs.reset(seed=0)
    envs.step(np.zeros(2, int))
    with pytest.raises(ValueError, match="does not repeat itself"):
        envs.load(envs.state())
