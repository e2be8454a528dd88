"""A probe world of pixels that is learnt four times as fast as envs/probes.py's, for the recipes of Atari games."""

import gymnasium as gym
import numpy as np

from envs.probes import _PixelChoice


class SmallChoice(_PixelChoice):
    """The middle of the probe world's screen."""

    observation_space = gym.spaces.Box(0, 255, (36, 36), np.uint8)

    def _screen(self):
        return super()._screen()[:36, 24:60].copy()


SMALL_CHOICE = "pixels/SmallChoice-v0"
gym.register(
    SMALL_CHOICE, entry_point=lambda: gym.wrappers.FrameStackObservation(SmallChoice(), 4, padding_type="zero")
)
