"""Grid worlds: walls, a start, a goal, perhaps bombs. Each exists as one environment and as a vector of N.

`Gridworld-v0` is the 8 x 8 world of the TensorFlow 2 Reinforcement Learning Cookbook, chapter 1; `grids/Simple-v0`,
`grids/Obstacle-v0` and `grids/RandomGoal-v0` are the 9 x 10 tasks of the Neuromatch Academy tutorial W3D4.

A layout is a list of rows of letters; its border consists of walls:

    # wall   . free   A where the agent starts   G goal   B bomb
"""

from typing import NamedTuple

import gymnasium as gym
import numpy as np

NOOP_DOWN_UP_LEFT_RIGHT = ((0, 0), (1, 0), (-1, 0), (0, -1), (0, 1))
UP_RIGHT_DOWN_LEFT = ((-1, 0), (0, 1), (1, 0), (0, -1))


class Task(NamedTuple):
    """A world: its map, its moves (dy, dx), its rewards, its length and its observation."""

    layout: tuple
    moves: tuple
    wall_reward: float
    goal_reward: float
    bomb_reward: float
    max_steps: int
    observation: str


BOMBS = Task(
    ("########", "#A.....#", "#.###..#", "#.#.#..#", "#.#G#..#", "#.B....#", "#......#", "########"),
    NOOP_DOWN_UP_LEFT_RIGHT, wall_reward=-0.1, goal_reward=1.0, bomb_reward=-1.0, max_steps=100, observation="codes",
)  # fmt: skip


SIMPLE = (
    "##########",
    "#........#",
    "#.A.##...#",
    "#...##...#",
    "#...##...#",
    "#........#",
    "#........#",
    "#.G......#",
    "##########",
)
OBSTACLE = (
    "##########",
    "#.....#..#",
    "#.A.#...G#",
    "#...##...#",
    "#...##...#",
    "#........#",
    "#........#",
    "#........#",
    "##########",
)


def _text_task(rows):
    return Task(rows, UP_RIGHT_DOWN_LEFT, -5.0, 10.0, 0.0, max_steps=200, observation="state_index")


TASKS = {
    "bombs": BOMBS,
    "simple": _text_task(SIMPLE),
    "obstacle": _text_task(OBSTACLE),
    "random_goal": _text_task(tuple(row.replace("G", ".") for row in SIMPLE)),  # the goal is drawn for each episode
}
OBSERVATIONS = ("codes", "state_index", "agent_onehot", "grid", "agent_goal_pos")
COLOURS = {"#": (60, 60, 70), ".": (245, 245, 240), "B": (200, 60, 50), "G": (60, 160, 80), "A": (50, 90, 200)}
CELL = 32  # pixels


class Grid:
    """The rules of one world, for N agents at once; cells are numbered row by row.

    Args:
        task: a name in `TASKS`.
        layout: rows of letters, instead of the task's.
        start, goal: (row, column), instead of the layout's.
        observation: one of `OBSERVATIONS`, instead of the task's.
        max_steps: steps after which an episode is truncated, instead of the task's.

    Raises:
        ValueError: unknown names; a layout that is not closed or has no start; a start or goal in a wall.
    """

    def __init__(self, task, layout=None, start=None, goal=None, observation=None, max_steps=None):
        if task not in TASKS:
            raise ValueError(f"unknown task {task!r}: one of {', '.join(TASKS)}")
        self.task = TASKS[task]
        self.observation = observation or self.task.observation
        self.max_steps = max_steps or self.task.max_steps
        if self.observation not in OBSERVATIONS:
            raise ValueError(f"unknown observation {observation!r}: one of {', '.join(OBSERVATIONS)}")
        letters = self._letters(layout or self.task.layout)
        self.shape, flat = letters.shape, letters.ravel()
        self.walls, self.bombs = flat == "#", flat == "B"
        self.start = self.place(flat, "A", start)
        random_goal = task == "random_goal" and goal is None and "G" not in flat
        self.goal = None if random_goal else self.place(flat, "G", goal)
        self.goals = np.flatnonzero(~self.walls & ~self.bombs & (np.arange(flat.size) != self.start))
        self.next_cell, self.bumps = self._moves()
        self.action_space = gym.spaces.Discrete(len(self.task.moves))
        self.observation_space = self._space()

    @staticmethod
    def _letters(layout):
        if len({len(row) for row in layout}) != 1:
            raise ValueError("the rows of the layout differ in length")
        letters = np.array([list(row) for row in layout])
        unknown = set(letters.ravel()) - set("#.AGB")
        if unknown:
            raise ValueError(f"unknown letters in the layout: {', '.join(sorted(unknown))}")
        inner = np.zeros(letters.shape, bool)
        inner[1:-1, 1:-1] = True
        if (letters[~inner] != "#").any():
            raise ValueError("the layout is not closed: its border must be walls")
        return letters

    def place(self, flat, letter, position):
        """The cell of the start (A) or the goal (G): `position` if given, else the only cell with that letter."""
        name = {"A": "start", "G": "goal"}[letter]
        if position is None:
            marked = np.flatnonzero(flat == letter)
            if len(marked) != 1:
                raise ValueError(f"the layout must have one {name} ({letter}); it has {len(marked)}")
            return int(marked[0])
        y, x = position
        if not (0 <= y < self.shape[0] and 0 <= x < self.shape[1]):
            raise ValueError(f"the {name} {position} is outside the layout")
        cell = int(y * self.shape[1] + x)
        if self.walls[cell]:
            raise ValueError(f"the {name} {position} is in a wall")
        return cell

    def _moves(self):
        """Where each action leads from each cell, and whether it bumps into a wall; both [cells, actions]."""
        cells = np.arange(self.walls.size)
        ahead = np.stack([cells + dy * self.shape[1] + dx for dy, dx in self.task.moves], axis=1) % cells.size
        bumps = self.walls[ahead] & (ahead != cells[:, None])
        return np.where(bumps, cells[:, None], ahead), bumps

    def _space(self):
        height, width = self.shape
        return {
            "codes": gym.spaces.Box(0, 4, (height, width), np.uint8),
            "state_index": gym.spaces.Discrete(height * width),
            "agent_onehot": gym.spaces.Box(0, 1, (height, width), np.float32),
            "grid": gym.spaces.Box(0, 1, (height, width, 3), np.float32),
            "agent_goal_pos": gym.spaces.Box(0, max(height, width), (4,), np.float32),
        }[self.observation]

    def draw_goals(self, count, rng):
        """Goal cells for `count` new episodes."""
        return np.full(count, self.goal) if self.goal is not None else rng.choice(self.goals, count)

    def step(self, cells, goals, actions):
        """Cells [N], goals [N], actions [N] → next cells [N], rewards [N] float32, terminated [N].

        Raises:
            ValueError: an action out of range.
        """
        actions = np.asarray(actions)
        if not ((actions >= 0) & (actions < self.action_space.n)).all():
            raise ValueError(f"an action is out of range: {actions}, known are 0 to {self.action_space.n - 1}")
        landed = self.next_cell[cells, actions]
        at_goal, at_bomb = landed == goals, self.bombs[landed]
        reward = np.where(self.bumps[cells, actions], self.task.wall_reward, 0.0)
        reward = np.where(at_goal, self.task.goal_reward, np.where(at_bomb, self.task.bomb_reward, reward))
        return landed, reward.astype(np.float32), at_goal | at_bomb

    def observe(self, cells, goals):
        """Observations of N agents, a fresh array: [N, ...]."""
        count, rows = len(cells), np.arange(len(cells))
        if self.observation == "state_index":
            return np.array(cells, np.int64)
        if self.observation == "agent_goal_pos":
            return np.stack([*np.divmod(cells, self.shape[1]), *np.divmod(goals, self.shape[1])], 1).astype(np.float32)
        if self.observation == "agent_onehot":
            onehot = np.zeros((count, self.walls.size), np.float32)
            onehot[rows, cells] = 1
            return onehot.reshape(count, *self.shape)
        if self.observation == "grid":
            channels = np.zeros((count, self.walls.size, 3), np.float32)
            channels[..., 0] = self.walls
            channels[rows, cells, 1] = 1
            channels[rows, goals, 2] = 1
            return channels.reshape(count, *self.shape, 3)
        codes = np.tile((self.walls * 1 + self.bombs * 3).astype(np.uint8), (count, 1))
        codes[rows, goals] = 4
        codes[rows, cells] = 2  # the agent is shown even in its last cell
        return codes.reshape(count, *self.shape)

    def shortest_ways(self):
        """Fewest steps from the start to every cell, [cells]; for a cell without a way, the number of cells."""
        far = self.walls.size
        steps = np.where(np.arange(far) == self.start, 0, far)
        for _ in range(far):  # breadth first: each round goes one step further, but never on from a bomb
            np.minimum.at(steps, self.next_cell, np.where(self.bombs, far, steps + 1)[:, None])
        return steps

    def walk_to_every_goal(self, act):
        """One game for each possible goal → `Walks`; `act` maps observations [G, ...] to actions [G]."""
        goals = self.goals if self.goal is None else np.array([self.goal])
        cells, playing = np.full(len(goals), self.start), np.ones(len(goals), bool)
        returns, lengths = np.zeros(len(goals)), np.zeros(len(goals), int)
        for _ in range(self.max_steps):
            landed, reward, terminated = self.step(cells, goals, act(self.observe(cells, goals)))
            cells = np.where(playing, landed, cells)
            returns += reward * playing
            lengths += playing
            playing &= ~terminated
        return Walks(goals, returns, lengths, cells == goals, self.shortest_ways()[goals])

    def letters(self, cell, goal):
        """The map as rows of letters, the agent and the goal in their places."""
        flat = np.where(self.walls, "#", np.where(self.bombs, "B", "."))
        flat[goal] = "G"
        flat[cell] = "A"
        return ["".join(row) for row in flat.reshape(self.shape)]

    def text(self, cell, goal):
        """The map as lines of letters."""
        return "\n".join(self.letters(cell, goal)) + "\n"

    def picture(self, cell, goal):
        """The map as RGB pixels, [height * 32, width * 32, 3]."""
        colours = np.array([[COLOURS[letter] for letter in row] for row in self.letters(cell, goal)], np.uint8)
        pixels = colours.repeat(CELL, axis=0).repeat(CELL, axis=1)
        pixels[::CELL], pixels[:, ::CELL] = 255, 255
        return pixels


class Walks(NamedTuple):
    """One game for each of G goals; all [G]."""

    goals: np.ndarray  # cells
    returns: np.ndarray
    lengths: np.ndarray  # steps
    reached: np.ndarray  # bool, the game ended at the goal
    shortest: np.ndarray  # steps of the shortest way

    def __str__(self):
        ways = (self.reached & (self.lengths == self.shortest)).sum()
        found = f"{self.reached.sum()} of {len(self.goals)} goals reached, {ways} by a shortest way"
        return f"{found}; mean return {self.returns.mean():.2f} in {self.lengths.mean():.2f} steps"


class GridEnv(gym.Env):
    """One agent in a `Grid`; takes the same arguments. `reset(options={"goal": (row, column)})` chooses the goal."""

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 6}

    def __init__(self, task="bombs", render_mode=None, **changes):
        self.grid = Grid(task, **changes)
        self.render_mode = render_mode
        self.action_space, self.observation_space = self.grid.action_space, self.grid.observation_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.cells = np.array([self.grid.start])
        self.goals = self.grid.draw_goals(1, self.np_random)
        if options and "goal" in options:
            self.goals = np.array([self.grid.place(self.grid.walls, "G", options["goal"])])
        return self._observe(), {}

    def step(self, action):
        self.cells, reward, terminated = self.grid.step(self.cells, self.goals, [action])
        self.steps += 1
        return self._observe(), float(reward[0]), bool(terminated[0]), self.steps >= self.grid.max_steps, {}

    def _observe(self):
        obs = self.grid.observe(self.cells, self.goals)[0]
        return int(obs) if self.grid.observation == "state_index" else obs

    def render(self):
        show = self.grid.text if self.render_mode == "ansi" else self.grid.picture
        return show(self.cells[0], self.goals[0])


class GridVectorEnv(gym.vector.VectorEnv):
    """N agents, each in its own `Grid`, stepped together with array operations; gymnasium's next-step autoreset."""

    metadata = {**GridEnv.metadata, "autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs=1, task="bombs", render_mode=None, **changes):
        self.grid = Grid(task, **changes)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_action_space, self.single_observation_space = self.grid.action_space, self.grid.observation_space
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cells, self.steps = np.full(self.num_envs, self.grid.start), np.zeros(self.num_envs, int)
        self.goals = self.grid.draw_goals(self.num_envs, self.np_random)
        self.ended = np.zeros(self.num_envs, bool)
        return self.grid.observe(self.cells, self.goals), {}

    def step(self, actions):
        fresh = self.ended  # these games only reset: their action is ignored, their reward is 0
        landed, reward, terminated = self.grid.step(self.cells, self.goals, actions)
        if fresh.any():
            self.goals[fresh] = self.grid.draw_goals(fresh.sum(), self.np_random)
        self.cells = np.where(fresh, self.grid.start, landed)
        self.steps = np.where(fresh, 0, self.steps + 1)
        terminated &= ~fresh
        truncated = self.steps >= self.grid.max_steps
        self.ended = terminated | truncated
        return self.grid.observe(self.cells, self.goals), np.where(fresh, 0, reward), terminated, truncated, {}

    def state(self):
        """Where every agent stands and the generator of the goals, as JSON can hold it; `load` takes it back."""
        arrays = {name: getattr(self, name).tolist() for name in ("cells", "goals", "steps", "ended")}
        return {**arrays, "rng": self.np_random.bit_generator.state}

    def load(self, state):
        """Continue from `state`, after a `reset`; returns the observations, [N, ...]."""
        for name in ("cells", "goals", "steps", "ended"):
            setattr(self, name, np.array(state[name]))
        self.np_random.bit_generator.state = state["rng"]
        return self.grid.observe(self.cells, self.goals)

    def render(self):
        show = self.grid.text if self.render_mode == "ansi" else self.grid.picture
        return tuple(show(cell, goal) for cell, goal in zip(self.cells, self.goals, strict=True))
