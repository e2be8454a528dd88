"""Tiny worlds with known answers: a learner that fails in one of them has a fault, and the world tells which.

Each is worth its value with a discount γ under the best policy:

    OneStep       one step, reward 1                          v = 1                      is the reward learnt?
    SeenReward    one step, reward as observed, -1 or 1       v(obs) = obs               is the observation used?
    TwoSteps      reward 1 at the second step                 v = (γ, 1)                 is the discount applied?
    ChosenReward  one step, reward 1 for the action observed  q = 1 if action = obs      is the action used?
    Endless       reward 1 for ever, truncated at 10 steps    v = 1 / (1 - γ)            does truncation bootstrap?
    Recall        ChosenReward, three steps too late      greedy return 1, random 0.5  is the past remembered?
    PixelChoice   ChosenReward on 84 x 84 pixels, four times  greedy return 4, random 2  the same from pixels
    AlikeActions  reward as observed, 1/2 more for action 0   `AlikeActions.q`           do actions share a value?
    OnlyNoise     rewards of mean 0 whatever is done          v = 0                      is the maximum too high?
    ChosenVector  one step, 0 for (2 x, 2.5 + 2.5 x), else less  best action as given    do vectors of actions fit?
    EndlessVector Endless, and actions are vectors            v = 1 / (1 - γ)            the same for them
    NoiseVector   OnlyNoise, and actions are vectors          v = 0                      is an actor fooled?
"""

import gymnasium as gym
import numpy as np


class _Probe(gym.Env):
    """One float32 number to see, two actions."""

    observation_space = gym.spaces.Box(-1.0, 10.0, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.seen = self.first()
        return self.obs(), {}

    def first(self):
        return 0.0

    def obs(self):
        return np.array([self.seen], np.float32)


class OneStep(_Probe):
    """One step, reward 1."""

    def step(self, action):
        return self.obs(), 1.0, True, False, {}


class SeenReward(_Probe):
    """One step, the reward is the observation: -1 or 1."""

    def first(self):
        return float(self.np_random.choice([-1.0, 1.0]))

    def step(self, action):
        return self.obs(), self.seen, True, False, {}


class TwoSteps(_Probe):
    """Two steps, observed as 0 and 1; the second brings reward 1."""

    def step(self, action):
        self.t += 1
        self.seen = 1.0
        return self.obs(), float(self.t == 2), self.t == 2, False, {}


class ChosenReward(_Probe):
    """One step; the observation, 0 or 1, is the action that brings reward 1, the other brings 0."""

    def first(self):
        return float(self.np_random.integers(2))

    def step(self, action):
        return self.obs(), float(action == self.seen), True, False, {}


class Recall(ChosenReward):
    """Four steps; the first observation, 0 or 1, is the action that brings reward 1 at the last; in between it is 2."""

    def reset(self, *, seed=None, options=None):
        answer = super().reset(seed=seed, options=options)
        self.cue = self.seen
        return answer

    def step(self, action):
        self.t += 1
        self.seen = 2.0
        return self.obs(), float(self.t == 4 and action == self.cue), self.t == 4, False, {}


class Endless(_Probe):
    """Reward 1 at every step of a game that never ends; cut (truncated) after 10 steps."""

    def step(self, action):
        self.t += 1
        return self.obs(), 1.0, False, self.t == 10, {}


class ChosenVector(_Probe):
    """One step; x, from -1 to 1, is observed; the reward is 0 for the action (2 x, 2.5 + 2.5 x), below 0 for others."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 5], np.float32))

    def first(self):
        return float(self.np_random.uniform(-1, 1))

    def step(self, action):
        low, high = self.action_space.low, self.action_space.high
        error = (np.asarray(action) - low) / (high - low) * 2 - 1 - self.seen  # in half ranges
        return self.obs(), -float(np.sum(error**2)), True, False, {}


class EndlessVector(Endless):
    """Endless with a vector of two numbers as action."""

    action_space = gym.spaces.Box(-0.4, 0.4, (2,), np.float32)


class _ManyActions(gym.Env):
    """Two numbers, drawn anew at each step from -1 to 1, and the part of the game that is over."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)

    def __init__(self, num_actions=10, length=1):
        self.action_space, self.length = gym.spaces.Discrete(num_actions), length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._look(), {}

    def step(self, action):
        reward = self.reward(action)
        self.t += 1
        return self._look(), reward, self.t == self.length, False, {}

    def _look(self):
        self.seen = np.array([*self.np_random.uniform(-1, 1, 2), self.t / self.length], np.float32)
        return self.seen


class AlikeActions(_ManyActions):
    """The numbers x and y decide the reward: cos(2 pi x) y, which is 0 on average, and 1/2 more for action 0."""

    def reward(self, action):
        return float(np.cos(2 * np.pi * self.seen[0]) * self.seen[1]) + 0.5 * (action == 0)

    def q(self, obs, gamma):
        """The true action values under the best policy, [B, 3] → [B, A]."""
        left = self.length - np.rint(obs[:, 2] * self.length)  # [B], steps that are left
        later = 0.5 * sum(gamma**k * (k < left) for k in range(1, self.length + 1))  # [B]
        return (np.cos(2 * np.pi * obs[:, 0]) * obs[:, 1] + later)[:, None] + 0.5 * (
            np.arange(self.action_space.n) == 0
        )


class OnlyNoise(_ManyActions):
    """The reward is drawn from a normal distribution of mean 0 and deviation 1, whatever is seen and done."""

    def reward(self, action):
        return float(self.np_random.normal())


class NoiseVector(OnlyNoise):
    """OnlyNoise with a vector of four numbers as action."""

    def __init__(self, length=10):
        super().__init__(length=length)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


class _PixelChoice(gym.Env):
    """Four times: the left or the right half of the screen is lit, and the action with that number brings reward 1."""

    observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)
    action_space = gym.spaces.Discrete(2)
    length = 4

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._screen(), {}

    def step(self, action):
        reward = float(action == self.lit)
        self.t += 1
        return self._screen(), reward, self.t == self.length, False, {}

    def _screen(self):
        self.lit = int(self.np_random.integers(2))
        screen = np.zeros((84, 84), np.uint8)
        screen[:, 42 * self.lit : 42 * (self.lit + 1)] = 255
        return screen


def pixel_choice():
    """PixelChoice with its last four frames stacked, zeros before the start, as ALE stacks them."""
    return gym.wrappers.FrameStackObservation(_PixelChoice(), 4, padding_type="zero")
