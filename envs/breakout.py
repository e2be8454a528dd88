"""MinAtar's Breakout with NumPy: one game on a grid of 10 x 10 cells, for evaluations, films and any other recipe.

The rules are those of Young and Tian, MinAtar (https://arxiv.org/abs/1903.03176), and tests compare both worlds with
their package step by step. There are the three actions that do something, as in the package's second set of ids. A new
game remembers no action. The package's games have no limit; the registered id truncates them after 1,000 steps, as
gymnax does.
"""

import gymnasium as gym
import numpy as np

SIZE = 10
PLANES = {"paddle": (50, 90, 200), "ball": (245, 245, 240), "trail": (120, 120, 125), "brick": (200, 60, 50)}  # colours
BACKGROUND, CELL = (30, 30, 40), 24  # colour, pixels


class Breakout(gym.Env):
    """Keep the ball in the air with the paddle; each brick that it breaks pays 1, and the game is lost with the ball.

    Actions are 0 (none), 1 (left) and 2 (right). The ball flies diagonally, one cell a step. It is reflected by walls
    and bricks, and by the paddle if that is under it; a paddle one cell ahead sends it back to where it came from. A
    ball that has just broken a brick flies through the one behind. Where no brick is left, all 30 come back as soon as
    the ball is at the bottom.

    Args:
        sticky_action_prob: probability that the previous action is repeated, whatever is chosen.
        render_mode: None or rgb_array.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, sticky_action_prob=0.1, render_mode=None):
        if not 0 <= sticky_action_prob <= 1:
            raise ValueError(f"sticky_action_prob={sticky_action_prob} is no probability")
        self.sticky_action_prob, self.render_mode = sticky_action_prob, render_mode
        self.action_space = gym.spaces.Discrete(3)
        self.observation_space = gym.spaces.Box(0, 1, (SIZE, SIZE, len(PLANES)), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        is_left = self.np_random.random() < 0.5
        self.ball = self.trail = (3, 0 if is_left else SIZE - 1)  # row, column
        self.down, self.right = 1, 1 if is_left else -1  # directions: 1 or -1
        self.paddle, self.last_action, self.on_brick = 4, 0, False
        self.bricks = np.zeros((SIZE, SIZE), bool)
        self.bricks[1:4] = True
        return self._observe(), {}

    def step(self, action):
        if self.np_random.random() < self.sticky_action_prob:
            action = self.last_action
        self.last_action = int(action)
        self.paddle = min(max(self.paddle + (0, -1, 1)[action], 0), SIZE - 1)
        reward, terminated = self._fly()
        return self._observe(), reward, terminated, False, {}

    def _fly(self):
        """Move the ball → reward, and whether it is lost."""
        row, column = self.trail = self.ball
        ahead = column + self.right
        if not 0 <= ahead < SIZE:
            ahead, self.right = column, -self.right
        below = row + self.down
        was_on_brick, self.on_brick = self.on_brick, below >= 0 and bool(self.bricks[below, ahead])
        reward, terminated = 0.0, False
        if below < 0:
            below, self.down = 0, 1
        elif self.on_brick and not was_on_brick:
            reward, self.bricks[below, ahead] = 1.0, False
            below, self.down = row, -self.down
        elif below == SIZE - 1:
            if not self.bricks.any():
                self.bricks[1:4] = True
            if self.paddle == column:
                below, self.down = row, -1
            elif self.paddle == ahead:
                below, self.down, self.right = row, -1, -self.right
            else:
                terminated = True
        self.ball = below, ahead
        return reward, terminated

    def _observe(self):
        """Zeros and ones, [10, 10, 4]: paddle, ball, the cell that it left, bricks."""
        obs = np.zeros(self.observation_space.shape, np.uint8)
        obs[SIZE - 1, self.paddle, 0] = 1
        obs[(*self.ball, 1)] = 1
        obs[(*self.trail, 2)] = 1
        obs[:, :, 3] = self.bricks
        return obs

    def render(self):
        """RGB pixels, [240, 240, 3]; of the things in a cell, the first in `PLANES` is drawn."""
        pixels = np.full((SIZE, SIZE, 3), BACKGROUND, np.uint8)
        for plane, colour in reversed([*enumerate(PLANES.values())]):
            pixels[self._observe()[:, :, plane] == 1] = colour
        return pixels.repeat(CELL, axis=0).repeat(CELL, axis=1)
