"""Games that are played again are the games that were played."""

import gymnasium as gym
import numpy as np
import pytest

from envs.checked import make_vec
from envs.repeatable import Repeatable


class Integrates(gym.Env):
    """Sums its actions, which are float64; an error in the last digit of one is seen in all that follows."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(np.array([0.1, -0.3]), np.array([0.7, 0.2]), dtype=np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sum = self.np_random.uniform(size=2)
        return self.sum.astype(np.float32), {}

    def step(self, action):
        self.sum = np.sin(1e3 * self.sum) + action
        return self.sum.astype(np.float32), float(self.sum.sum()), False, False, {}


gym.register("repeatable/Integrates-v0", entry_point=Integrates)
WORLDS = [
    *((env_id, "discrete") for env_id in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")),
    *((f"{name}-v{v}", "continuous") for name, v in (("Pendulum", 1), ("probes/ChosenVector", 0))),
    ("repeatable/Integrates-v0", "continuous"),
]


@pytest.mark.parametrize(("env_id", "kind"), WORLDS)
@pytest.mark.parametrize("steps", [0, 130])
def test_games_are_played_again_from_their_seed_and_actions(env_id, kind, steps):
    one, other = (Repeatable(make_vec(env_id, 3, "vectors", actions=kind)) for _ in range(2))
    one.action_space.seed(0)
    one.reset(seed=5)
    for _ in range(steps):
        one.step(one.action_space.sample())
    state = one.state()
    assert state["actions"].shape == (steps, *one.action_space.shape) and state["actions"].dtype.itemsize == 4
    other.reset(seed=8)
    other.load(state)
    for _ in range(130):
        actions = one.action_space.sample()
        for x, y in zip(one.step(actions)[:4], other.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(x, y)


def test_another_action_is_another_game():
    """The twin of the test above: a vector whose last digit is lost would be noticed."""
    one, other = (Repeatable(make_vec("repeatable/Integrates-v0", 3, "vectors", actions="continuous")) for _ in "ab")
    one.action_space.seed(0)
    one.reset(seed=5)
    for _ in range(20):
        one.step(one.action_space.sample())
    state = one.state()
    state["actions"][3, 1, 0] = np.nextafter(state["actions"][3, 1, 0], 0)
    with pytest.raises(ValueError, match="does not repeat itself"):
        other.load(state)


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
