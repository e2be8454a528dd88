"""CartPole without velocities: one observation shows where things are and not where they go, so a policy needs memory.

Everything else is gymnasium's CartPole-v1: the same seeds and actions lead through the same states.
"""

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv, CartPoleVectorEnv
from gymnasium.spaces import Box
from gymnasium.vector.utils import batch_space

SEEN = [0, 2]  # position of the cart and angle of the pole; 1 and 3 are their velocities


def seen_space(space):
    """What is left of CartPole's space of observations."""
    return Box(space.low[SEEN], space.high[SEEN], dtype=np.float32)


class CartPoleNoVelocity(CartPoleEnv):
    """One pole."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.observation_space = seen_space(self.observation_space)

    def reset(self, **kwargs):
        obs, info = super().reset(**kwargs)
        return obs[SEEN], info

    def step(self, action):
        obs, *answer = super().step(action)
        return obs[SEEN], *answer


class CartPoleNoVelocityVector(CartPoleVectorEnv):
    """Many poles at once."""

    def __init__(self, num_envs=1, **kwargs):
        super().__init__(num_envs, **kwargs)
        self.single_observation_space = seen_space(self.single_observation_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(self, **kwargs):
        obs, info = super().reset(**kwargs)
        return obs[:, SEEN], info

    def step(self, action):
        obs, *answer = super().step(action)
        return obs[:, SEEN], *answer
