"""A grid world with forbidden actions, which the observation names: most moves would run into a wall.

One moves one to four cells up, right, down or left. A move that would leave the grid or cross a wall is forbidden;
whoever tries it stays. Start and goal are drawn anew in each game, and every step costs 1 until one stands on the goal.
"""

import gymnasium as gym
import numpy as np

PLAN = np.array([list(row) for row in (
    "........",
    ".##..#..",
    ".#...#..",
    "...#....",
    ".#.##.#.",
    ".#....#.",
    "...#..#.",
    ".#.#....",
)])  # fmt: skip
FREE = PLAN == "."
DIRECTIONS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left
FARTHEST = 4
NUM_ACTIONS = len(DIRECTIONS) * FARTHEST


def where_to(row, column, action):
    """The cell that a move leads to; None where it is forbidden. Actions 0 to 3 go up one to four cells, and so on."""
    (down, right), far = DIRECTIONS[action // FARTHEST], action % FARTHEST + 1
    path = [(row + down * k, column + right * k) for k in range(1, far + 1)]
    ok = all(0 <= r < FREE.shape[0] and 0 <= c < FREE.shape[1] and FREE[r, c] for r, c in path)
    return path[-1] if ok else None


MOVES = {tuple(cell): [where_to(*cell, action) for action in range(NUM_ACTIONS)] for cell in np.argwhere(FREE).tolist()}


def fewest_steps(goal):
    """From every free cell to the goal: a dict cell → number of moves."""
    steps, edge = {goal: 0}, [goal]
    while edge:
        edge = [cell for cell in MOVES if cell not in steps and any(to in edge for to in MOVES[cell])]
        steps.update(dict.fromkeys(edge, max(steps.values()) + 1))
    return steps


class MaskedGridworld(gym.Env):
    """The observation is the row and the column of the player and of the goal, each one-hot, then the mask of actions.

    The mask, the last 16 of 48 numbers, is 1 where an action is allowed.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.action_space = gym.spaces.Discrete(NUM_ACTIONS)
        self.observation_space = gym.spaces.Box(0.0, 1.0, (2 * sum(FREE.shape) + NUM_ACTIONS,), np.float32)
        self.cells = list(MOVES)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        here, goal = self.np_random.choice(len(self.cells), 2, replace=False)
        self.cell, self.goal = self.cells[here], self.cells[goal]
        return self._look(), {}

    def step(self, action):
        self.cell = MOVES[self.cell][int(action)] or self.cell
        return self._look(), -1.0, self.cell == self.goal, False, {}

    def _look(self):
        obs, start = np.zeros(self.observation_space.shape, np.float32), 0
        for cell in (self.cell, self.goal):
            for place, size in zip(cell, FREE.shape, strict=True):
                obs[start + place] = 1
                start += size
        obs[start:] = [to is not None for to in MOVES[self.cell]]
        return obs

    def render(self):
        """The grid from above, [256, 256, 3] bytes: walls dark, the goal green, the player red."""
        picture = np.where(FREE[..., None], 235, 60).astype(np.uint8).repeat(3, axis=-1)
        picture[self.goal], picture[self.cell] = (60, 160, 80), (200, 60, 50)
        return picture.repeat(32, axis=0).repeat(32, axis=1)
