"""Games that can be saved: not by what an environment holds, which nobody can know, but by what was done in it."""

import gymnasium as gym
import numpy as np


class Repeatable(gym.vector.VectorWrapper):
    """Environments that repeat themselves: from the same seed the same actions lead to the same state.

    Their state is the seed and all actions since the last reset with a seed. `load` plays them again, which takes as
    long as the steps themselves took without a learner.

    Args:
        env: a vector of environments that draw all random numbers from their seeded generators.
    """

    def __init__(self, env):
        super().__init__(env)
        is_discrete = isinstance(env.single_action_space, gym.spaces.Discrete)
        self.kept = np.int32 if is_discrete else env.single_action_space.dtype  # half of what int64 takes

    def reset(self, *, seed=None, options=None):
        self.seed, self.actions = seed, []
        self.obs, info = self.env.reset(seed=seed, options=options)
        return self.obs, info

    def step(self, actions):
        self.actions.append(np.array(actions, self.kept))
        self.obs, *answer = self.env.step(actions)
        return self.obs, *answer

    def state(self):
        """What `load` needs: a seed, an array of actions, [steps, N, ...], and the last observations, [N, ...]."""
        actions = np.reshape(self.actions, (-1, *self.action_space.shape)).astype(self.kept)
        return {"seed": self.seed, "actions": actions, "obs": np.array(self.obs)}

    def load(self, state):
        """Play from the seed to where the games were; ValueError if the observations there are others."""
        self.reset(seed=state["seed"])
        for actions in state["actions"]:
            self.step(actions.astype(self.action_space.dtype))
        if not np.array_equal(self.obs, state["obs"]):
            raise ValueError("the environment does not repeat itself: it must draw from its seeded generator alone")
