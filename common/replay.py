"""Replay memories: whole transitions for small observations; for Atari, every frame once. A tree draws by priority."""

from typing import NamedTuple

import numpy as np

from common.cli import UsageError


class Transitions(NamedTuple):
    """A batch from `ReplayBuffer`; B rows each."""

    obs: np.ndarray  # [B, ...]
    action: np.ndarray  # [B, ...]
    reward: np.ndarray  # [B] float32
    next_obs: np.ndarray  # [B, ...]
    terminated: np.ndarray  # [B] float32, 1 where the episode ended for good; a truncated one goes on, and is 0


class ReplayBuffer:
    """A ring of the last `capacity` transitions, drawn uniformly with replacement (Lin 1992).

    Args:
        capacity: transitions kept.
        obs_space: gymnasium space of one observation.
        action_space: gymnasium space of one action.
    """

    def __init__(self, capacity, obs_space, action_space):
        self.capacity = int(capacity)
        self.obs = np.zeros((self.capacity, *obs_space.shape), obs_space.dtype)
        self.next_obs = np.zeros_like(self.obs)
        self.action = np.zeros((self.capacity, *action_space.shape), action_space.dtype)
        self.reward = np.zeros(self.capacity, np.float32)
        self.terminated = np.zeros(self.capacity, np.float32)
        self.flush()

    def add(self, obs, action, reward, next_obs, terminated):
        """Append N transitions, one per environment: every argument has N rows."""
        rows = (self.position + np.arange(len(reward))) % self.capacity
        self.obs[rows], self.next_obs[rows], self.action[rows] = obs, next_obs, action
        self.reward[rows], self.terminated[rows] = reward, terminated
        self.position = (self.position + len(reward)) % self.capacity
        self.size = min(self.size + len(reward), self.capacity)

    def sample(self, batch_size, rng):
        """`Transitions` of `batch_size` rows, drawn with the numpy Generator `rng`; ValueError when empty."""
        if self.size == 0:
            raise ValueError("nothing to sample: the replay buffer is empty")
        rows = rng.integers(self.size, size=batch_size)
        return Transitions(
            self.obs[rows], self.action[rows], self.reward[rows], self.next_obs[rows], self.terminated[rows]
        )

    def flush(self):
        """Forget everything."""
        self.position = self.size = 0

    def is_ready(self, steps):
        """Whether `steps` transitions are there, and at least one."""
        return self.size >= max(steps, 1)

    def state(self):
        """What `load` needs: the filled part of every array and the position, as a dict of arrays."""
        filled = {name: getattr(self, name)[: self.size] for name in Transitions._fields}
        return {**filled, "cursor": np.array([self.position, self.size])}

    def load(self, state):
        """Take over the `state` of a buffer of the same shape; ValueError where the shapes differ."""
        position, size = (int(x) for x in state["cursor"])
        for name in Transitions._fields:
            array = getattr(self, name)
            if state[name].shape != (size, *array.shape[1:]) or size > self.capacity:
                raise ValueError(f"replay memory of another shape: {name} {state[name].shape}, here {array.shape}")
        for name in Transitions._fields:
            getattr(self, name)[:size] = state[name]
        self.position, self.size = position, size

    def __len__(self):
        return self.size


class NSteps:
    """Joins the steps of N games into transitions over n steps (Sutton 1988): the reward is the discounted sum of n.

    A transition is complete n steps after it began, or when its game terminated, since no reward follows then. The last
    n - 1 steps of a truncated game begin no transition: they would need another discount, gamma to a smaller power.

    Args:
        n_step: rewards in a sum; 1 leaves the steps as they are.
        gamma: discount per step.
        num_envs: N.
    """

    def __init__(self, n_step, gamma, num_envs):
        self.n_step, self.gamma = n_step, gamma
        self.recent = []  # the last n steps of all games, the oldest first: (obs, action, reward)
        self.age = np.zeros(num_envs, np.int64)  # of these, how many belong to the present game

    def join(self, obs, action, reward, next_obs, terminated, playing):
        """Take one step of every game, and return what it completes.

        Args:
            obs: [N, ...], what was acted on.
            action: [N, ...].
            reward: [N].
            next_obs: [N, ...], what was observed then.
            terminated: [N] bool.
            playing: [N] bool, false where the step only reset its game.

        Returns:
            `Transitions` of as many rows as were completed, 0 among them; `next_obs` is n steps after `obs`.
        """
        self.recent = [*self.recent, (obs, action, reward)][-self.n_step :]
        self.age = np.where(playing, np.minimum(self.age + 1, self.n_step), 0)
        pieces = []
        for begin in range(len(self.recent)):
            length = len(self.recent) - begin
            which = (self.age >= length) & ((length == self.n_step) | terminated)
            total = sum(self.gamma**k * step[2][which] for k, step in enumerate(self.recent[begin:]))
            first_obs, first_action, _ = self.recent[begin]
            pieces.append((first_obs[which], first_action[which], total, next_obs[which], terminated[which]))
            if not terminated.any():  # only the oldest can be complete
                break
        return Transitions(*map(np.concatenate, zip(*pieces, strict=True)))

    def state(self):
        """What `load` needs, as a dict of arrays."""
        obs, action, reward = zip(*self.recent, strict=True) if self.recent else ((), (), ())
        return {"obs": np.array(obs), "action": np.array(action), "reward": np.array(reward), "age": self.age}

    def load(self, state):
        """Take over the `state` of an object of the same size; ValueError where the sizes differ."""
        if state["age"].shape != self.age.shape or len(state["obs"]) > self.n_step:
            raise ValueError(f"steps of {len(state['age'])} games, here {len(self.age)}")
        self.recent = list(zip(state["obs"], state["action"], state["reward"], strict=True))
        self.age = state["age"]


class SumTree:
    """Priorities of numbered rows, and draws in proportion to them in O(log n) (Schaul et al. 2016, appendix B.2.1).

    A binary tree in one array: the leaves are the priorities, every other node is the sum of its two children. The
    root, node 1, is the sum of all. The children of node i are 2i and 2i + 1.

    Args:
        capacity: number of rows; all priorities are 0 at first.
    """

    def __init__(self, capacity):
        if capacity < 1:
            raise ValueError(f"a sum tree of {capacity} rows is empty")
        self.capacity = int(capacity)
        self.depth = (self.capacity - 1).bit_length()  # levels above the leaves
        self.nodes = np.zeros(2 << self.depth)

    @property
    def priorities(self):
        """Of every row, [capacity] float64; to be read, for `set` keeps the sums right."""
        return self.nodes[1 << self.depth :][: self.capacity]

    @property
    def total(self):
        """The sum of all priorities; a row is drawn with the probability `priorities[row] / total`."""
        return float(self.nodes[1])

    def set(self, rows, priorities):
        """Give rows new priorities; of a row that is named twice the last one counts.

        Args:
            rows: whole numbers from 0 to capacity - 1, of any shape.
            priorities: numbers of the same shape, or one for all rows; 0 means never drawn.

        Raises:
            ValueError: a row that is not there, or a priority that is negative, NaN or infinite. Nothing is changed.
        """
        rows = np.asarray(rows, np.int64)
        priorities = np.asarray(priorities, np.float64)
        if rows.size and (rows.min() < 0 or rows.max() >= self.capacity):
            raise ValueError(f"rows {rows.min()} to {rows.max()} of a sum tree with {self.capacity} rows")
        if not (np.isfinite(priorities) & (priorities >= 0)).all():
            raise ValueError("a priority is negative, NaN or infinite")
        node = rows.ravel() + (1 << self.depth)
        self.nodes[node] = np.broadcast_to(priorities, rows.shape).ravel()
        for _ in range(self.depth):
            node = node >> 1  # a parent that two rows share is computed twice, and alike
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def sample(self, batch_size, rng, stratified=True):
        """Rows drawn with replacement, each in proportion to its priority, [batch_size].

        Args:
            batch_size: rows, or a shape such as (minibatches, rows).
            rng: numpy Generator.
            stratified: divide the total into as many equal ranges as there are rows and draw one from each, which
                lowers the variance; otherwise every draw is independent.

        Raises:
            ValueError: all priorities are 0, or too large for their sum.
        """
        if not 0 < self.total < np.inf:
            raise ValueError(f"nothing to sample: the priorities sum to {self.total}")
        position = rng.random(batch_size)
        if stratified:
            position = (np.arange(position.shape[-1]) + position) / position.shape[-1]
        return self.find(position * self.total)

    def find(self, prefix):
        """The row in whose share of the total a number falls: the first with a larger prefix sum; [...] → [...].

        Args:
            prefix: numbers from 0 to the total. By rounding they may reach it; the last row with a priority is theirs.
        """
        prefix = np.array(prefix, np.float64)
        node = np.ones(prefix.shape, np.int64)
        for _ in range(self.depth):
            node = 2 * node
            left = self.nodes[node]
            right = (prefix >= left) & (self.nodes[node + 1] > 0)  # never into a subtree without priorities
            prefix -= left * right
            node += right
        return node - (1 << self.depth)

    def state(self):
        """What `load` needs, as a dict of arrays."""
        return {"priorities": self.priorities.copy()}

    def load(self, state):
        """Take over the `state` of a tree of the same capacity; ValueError where it does not fit."""
        if state["priorities"].shape != (self.capacity,):
            raise ValueError(f"sum tree of another shape: {state['priorities'].shape}, here {(self.capacity,)}")
        self.set(np.arange(self.capacity), state["priorities"])


class PrioritizedReplayBuffer(ReplayBuffer):
    """A `ReplayBuffer` that draws transitions in proportion to their priorities (Schaul et al. 2016).

    A new transition gets the largest priority so far.
    """

    def add(self, obs, action, reward, next_obs, terminated):
        """Append N transitions; see `ReplayBuffer.add`."""
        self.tree.set((self.position + np.arange(len(reward))) % self.capacity, self.largest)
        super().add(obs, action, reward, next_obs, terminated)

    def sample(self, batch_size, rng):
        """Draw transitions by priority.

        Args:
            batch_size: B, or a shape such as (minibatches, B).
            rng: numpy Generator.

        Returns:
            (Transitions, rows for `set_priorities`, probability of each), all of that shape

        Raises:
            ValueError: nothing to sample yet.
        """
        rows = self.tree.sample(batch_size, rng)
        columns = (self.obs, self.action, self.reward, self.next_obs, self.terminated)
        return Transitions(*(column[rows] for column in columns)), rows, self.tree.priorities[rows] / self.tree.total

    def set_priorities(self, rows, priorities):
        """New priorities, above 0, of rows that were drawn since the last `add`; both of the same shape."""
        self.tree.set(rows, priorities)
        self.largest = max(self.largest, float(np.max(priorities)))

    def flush(self):
        """Forget everything, the priorities too."""
        super().flush()
        self.tree, self.largest = SumTree(self.capacity), 1.0

    def state(self):
        """What `load` needs, as a dict of arrays."""
        return {**super().state(), **self.tree.state(), "largest": np.array(self.largest)}

    def load(self, state):
        """Take over the `state` of a buffer of the same shape; ValueError where the shapes differ."""
        super().load(state)
        self.tree.load(state)
        self.largest = float(state["largest"])


class Sequences(NamedTuple):
    """A batch from `SequenceReplayBuffer`; B rows of one game each: W steps of burn-in, then T to learn from."""

    state: np.ndarray  # [B, S], with which the network met the first observation; 0 where that is not of the row's game
    obs: np.ndarray  # [B, W + T + 1, ...], one more than steps: the last one is for the bootstrap
    inside: np.ndarray  # [B, W + T + 1] float32, 1 where the observation is of the row's game; others are to be ignored
    action: np.ndarray  # [B, W + T, ...]
    reward: np.ndarray  # [B, T] float32
    terminated: np.ndarray  # [B, T] float32, 1 where the episode ended for good; a truncated one goes on, and is 0
    learned: np.ndarray  # [B, T] float32, 1 for steps of the row's game; others are to be ignored


class SequenceReplayBuffer:
    """The last `capacity` steps of N environments, for networks with memory; sequences never leave their game.

    What is stored at slot t of an environment is the network's state, the observation acted on, the action, and what
    came of it. The next observation is slot t + 1. After the end of a game the environment resets on the following step
    (gymnasium's next-step autoreset): that step's observation is the game's last one, and its action is ignored.

    A slot is drawn uniformly. Its row holds the `burn_in` steps before it and the `length` steps from it on, as far as
    they are of the same game. A slot whose step only resets makes a row without a step to learn from.

    Args:
        capacity: steps kept, over all environments together.
        num_envs: environments that are added together.
        obs_space: gymnasium space of one observation.
        action_space: gymnasium space of one action.
        state_size: numbers in the state of the network, whose first one in a game is 0.
        burn_in: steps that only bring the network's state up to date.
        length: steps to learn from.

    Raises:
        UsageError: the capacity is too small for one such sequence.
    """

    def __init__(self, capacity, num_envs, obs_space, action_space, state_size, burn_in, length):
        slots = -(-int(capacity) // num_envs)
        if slots < burn_in + length + 1:
            needed = f"{num_envs} environments and sequences of {burn_in + length} steps"
            raise UsageError(f"a memory of {capacity:,} steps is too small for {needed}")
        self.burn_in, self.length = burn_in, length
        self.memory = np.zeros((slots, num_envs, state_size), np.float32)
        self.obs = np.zeros((slots, num_envs, *obs_space.shape), obs_space.dtype)
        self.action = np.zeros((slots, num_envs, *action_space.shape), action_space.dtype)
        self.reward = np.zeros((slots, num_envs), np.float32)
        self.terminated = np.zeros((slots, num_envs), np.float32)
        self.playing = np.zeros((slots, num_envs), bool)  # false where the environment only reset
        self.game = np.zeros((slots, num_envs), np.int32)  # number of the game in its environment
        self.flush()

    def add(self, state, obs, action, reward, terminated, playing):
        """Store one step of every environment: every argument has N rows, `playing` is false after a game's end."""
        t, before = self.position, (self.position - 1) % len(self.obs)
        begins = ~self.playing[before] if self.size else False  # the step before this one only reset
        self.game[t] = self.game[before] + begins if self.size else 0
        self.memory[t], self.obs[t], self.action[t], self.reward[t] = state, obs, action, reward
        self.terminated[t], self.playing[t] = terminated, playing
        self.position = (t + 1) % len(self.obs)
        self.size = min(self.size + 1, len(self.obs))

    def sample(self, batch_size, rng):
        """`Sequences` whose first step after the burn-in is drawn uniformly with replacement.

        Args:
            batch_size: B, or a shape such as (minibatches, B).
            rng: numpy Generator.

        Raises:
            ValueError: nothing to sample yet.
        """
        first = self.burn_in if self.size == len(self.obs) else 0  # of older games the beginning is overwritten
        if self.size <= first + 1:
            raise ValueError(f"nothing to sample: {len(self)} steps stored")
        drawn = rng.integers(first, self.size - 1, size=batch_size)[..., None]  # counted from the oldest slot
        env = rng.integers(self.obs.shape[1], size=batch_size)[..., None]
        steps = drawn + np.arange(-self.burn_in, self.length + 1)  # [B, W + T + 1]
        oldest = self.position - self.size
        slots = (oldest + steps) % len(self.obs)
        stored = (steps >= 0) & (steps < self.size)
        inside = stored & (self.game[slots, env] == self.game[(oldest + drawn) % len(self.obs), env])
        # A step is known when the slot after it, its next observation, is of the same game.
        learned = inside[..., self.burn_in : -1] & inside[..., self.burn_in + 1 :]
        now = slots[..., self.burn_in : -1], env
        return Sequences(
            inside[..., :1] * self.memory[slots[..., 0], env[..., 0]],
            self.obs[slots, env], inside.astype(np.float32),
            self.action[slots[..., :-1], env], self.reward[now], self.terminated[now], learned.astype(np.float32),
        )  # fmt: skip

    def flush(self):
        """Forget everything."""
        self.position = self.size = 0

    def is_ready(self, steps):
        """Whether `steps` steps, over all environments together, are stored, and one of them can be learned from."""
        return len(self) >= steps and self.size > 1

    def __len__(self):
        return self.size * self.obs.shape[1]

    def _arrays(self):
        names = "memory", "obs", "action", "reward", "terminated", "playing", "game"
        return {name: getattr(self, name) for name in names}

    def state(self):
        """What `load` needs: position, size and the filled part of every array, as a dict of arrays."""
        filled = {name: array[: self.size] for name, array in self._arrays().items()}
        return {**filled, "cursor": np.array([self.position, self.size])}

    def load(self, state):
        """Take over the `state` of a buffer of the same shape; ValueError where the shapes differ."""
        position, size = (int(x) for x in state["cursor"])
        for name, array in self._arrays().items():
            if state[name].shape != (size, *array.shape[1:]) or size > len(array):
                raise ValueError(f"replay memory of another shape: {name} {state[name].shape}, here {array.shape}")
        for name, array in self._arrays().items():
            array[:size] = state[name]
        self.position, self.size = position, size


class FrameBatch(NamedTuple):
    """A batch from `FrameReplayBuffer`; B rows each."""

    obs: np.ndarray  # [B, stack, height, width] uint8
    action: np.ndarray  # [B] int32
    reward: np.ndarray  # [B] float32, the discounted sum over n steps
    discount: np.ndarray  # [B] float32, gamma ** n, or 0 where the episode terminated on the way
    next_obs: np.ndarray  # [B, stack, height, width] uint8, n steps later


class FrameReplayBuffer:
    """The last `capacity` steps of N environments, each frame stored once; stacks are rebuilt when sampling.

    What is stored at slot t of an environment is the newest frame of the observation acted on, the action, and what
    came of it. The next observation is slot t + 1. After the end of a game the environment resets on the following
    step (gymnasium's next-step autoreset): that step's observation is the game's last frame, its action is ignored,
    and it is stored but never sampled as a transition. So the last observation of a truncated game is at hand like
    any other, and no stack ever crosses two games.

    Args:
        capacity: steps kept, over all environments together.
        num_envs: environments that are added together.
        frame_shape: height and width.
        stack: frames in one observation; before the start of a game they are zero, as ALE's are, or copies of its
            first frame, as gymnasium's are.
        n_step: rewards that are summed before the bootstrap (Sutton 1988); 1 is the ordinary target.
        gamma: discount per step.
    """

    def __init__(self, capacity, num_envs, frame_shape=(84, 84), stack=4, n_step=1, gamma=0.99):
        length = -(-int(capacity) // num_envs)
        if length < stack + n_step + 1:
            raise ValueError(
                f"capacity {capacity} is too small for {num_envs} environments, stacks of {stack} and {n_step} steps"
            )
        self.stack, self.n_step, self.gamma = stack, n_step, gamma
        self.frames = np.zeros((length, num_envs, *frame_shape), np.uint8)
        self.action = np.zeros((length, num_envs), np.int32)
        self.reward = np.zeros((length, num_envs), np.float32)
        self.terminated = np.zeros((length, num_envs), bool)  # no bootstrap beyond this step
        self.ended = np.zeros((length, num_envs), bool)  # the game was over after this step
        self.resetting = np.zeros((length, num_envs), bool)  # no transition: the environment only reset
        self.age = np.zeros((length, num_envs), np.uint8)  # frames of the same game before this one, at most stack - 1
        self.copied = np.zeros((length, num_envs), bool)  # the frames before the start of the game are copies
        self.flush()

    def add(self, obs, action, reward, terminated, ended):
        """Store one step of every environment.

        Args:
            obs: [N, stack, height, width], what was acted on; the newest frame is last.
            action: [N].
            reward: [N].
            terminated: [N] bool, no value beyond this step (a lost life may count).
            ended: [N] bool, the environment will reset on the next step (game over, or truncated).
        """
        t = self.position
        before = (t - 1) % len(self.frames)
        first = self.size == 0
        self.resetting[t] = False if first else self.ended[before]
        new_game = True if first else self.resetting[before]
        self.age[t] = np.where(new_game, 0, np.minimum(self.age[before] + 1, self.stack - 1))
        self.copied[t] = np.where(new_game, obs[:, 0].any(axis=(1, 2)), self.copied[before])
        self.frames[t], self.action[t], self.reward[t] = obs[:, -1], action, reward
        self.terminated[t] = terminated
        self.ended[t] = ended & ~self.resetting[t]
        self.position = (t + 1) % len(self.frames)
        self.size = min(self.size + 1, len(self.frames))

    def sample(self, batch_size, rng):
        """`FrameBatch` of `batch_size` transitions, uniform over those whose stacks and n steps are still stored.

        Args:
            batch_size: rows.
            rng: numpy Generator.

        Raises:
            ValueError: nothing to sample yet.
        """
        return self._transitions(*self._draw(batch_size, rng))

    def _transitions(self, slots, envs):
        """`FrameBatch` of the transitions that begin at `slots` of `envs`, [B] each."""
        reward = np.zeros(len(slots), np.float32)
        discount = np.ones(len(slots), np.float32)
        going = np.ones(len(slots), bool)
        next_slots = slots.copy()
        for _ in range(self.n_step):
            reward += np.where(going, discount * self.reward[next_slots, envs], 0)
            discount *= np.where(going, self.gamma * ~self.terminated[next_slots, envs], 1).astype(np.float32)
            stop = self.terminated[next_slots, envs] | self.ended[next_slots, envs]
            next_slots = np.where(going, (next_slots + 1) % len(self.frames), next_slots)
            going &= ~stop
        return FrameBatch(
            self._stacks(slots, envs), self.action[slots, envs], reward, discount, self._stacks(next_slots, envs)
        )

    def _draw(self, batch_size, rng):
        """Slots and environments of `batch_size` transitions; redrawn where the ring has overwritten a part."""
        oldest = self.position - self.size
        span = self.size - self.n_step
        if span <= 0:
            raise ValueError(f"nothing to sample: {len(self)} steps stored")
        slots, envs = np.zeros(batch_size, np.int64), np.zeros(batch_size, np.int64)
        missing = np.arange(batch_size)
        for _ in range(1000):  # a refusal is rare: a step in a thousand resets, three of a ring lack their past
            positions = rng.integers(span, size=len(missing))
            slots[missing] = (oldest + positions) % len(self.frames)
            envs[missing] = rng.integers(self.frames.shape[1], size=len(missing))
            s, e = slots[missing], envs[missing]
            missing = missing[self.resetting[s, e] | (self.age[s, e] > positions)]
            if not len(missing):
                return slots, envs
        raise ValueError("nothing to sample: no whole transition is stored")

    def _stacks(self, slots, envs):
        """Observations [B, stack, height, width] that end at `slots`."""
        back = np.minimum(np.arange(self.stack - 1, -1, -1), self.age[slots, envs][:, None])  # [B, stack]
        stacks = self.frames[(slots[:, None] - back) % len(self.frames), envs[:, None]]
        before_start = np.arange(self.stack - 1, -1, -1) > back
        if before_start.any():
            stacks[before_start & ~self.copied[slots, envs][:, None]] = 0
        return stacks

    def abandon_games(self):
        """The games in progress will not go on: their newest frames become the last ones of truncated games."""
        newest, before = (self.position - 1) % len(self.frames), (self.position - 2) % len(self.frames)
        if self.size:
            self.ended[before] = True
            self.ended[newest], self.resetting[newest] = False, True

    def flush(self):
        """Forget everything."""
        self.position = self.size = 0

    def is_ready(self, steps):
        """Whether `steps` steps, over all environments together, are stored, and at least one whole transition."""
        return len(self) >= steps and self.size > self.n_step

    def __len__(self):
        return self.size * self.frames.shape[1]

    @property
    def nbytes(self):
        """Bytes of all arrays when full."""
        return sum(array.nbytes for array in self._arrays().values())

    def _arrays(self):
        names = ("frames", "action", "reward", "terminated", "ended", "resetting", "age", "copied")
        return {name: getattr(self, name) for name in names}

    def state(self):
        """What `load` needs: position, size and the filled part of every array, as a dict of arrays."""
        filled = {name: array[: self.size] for name, array in self._arrays().items()}
        return {**filled, "cursor": np.array([self.position, self.size])}

    def load(self, state):
        """Take over the `state` of a buffer of the same shape; ValueError where the shapes differ."""
        position, size = (int(x) for x in state["cursor"])
        for name, array in self._arrays().items():
            if state[name].shape != (size, *array.shape[1:]) or size > len(array) or not 0 <= position < len(array):
                raise ValueError(f"replay memory of another shape: {name} {state[name].shape}, here {array.shape}")
        for name, array in self._arrays().items():
            array[:size] = state[name]
        self.position, self.size = position, size


class PrioritizedFrameReplayBuffer(FrameReplayBuffer):
    """A `FrameReplayBuffer` that draws transitions in proportion to their priorities (Schaul et al. 2016).

    A new transition gets the largest priority so far. One that may not be drawn has none, because its environment only
    reset, because its n steps are not over, or because the ring has lost frames of its stack. So every draw is valid,
    and the probabilities are exact. The row of a transition is slot * num_envs + environment.
    """

    def add(self, obs, action, reward, terminated, ended):
        """Store one step of every environment; see `FrameReplayBuffer.add`."""
        newest, length = self.position, len(self.frames)
        super().add(obs, action, reward, terminated, ended)
        self._prioritize(newest, 0)
        if self.size > self.n_step:
            complete = (newest - self.n_step) % length
            self._prioritize(complete, np.where(self.resetting[complete], 0, self.largest))
        if self.size == length:
            for frames_before in range(self.stack - 1):
                slot = (self.position + frames_before) % length
                self._prioritize(slot, 0, self.age[slot] > frames_before)

    def _prioritize(self, slot, priority, which=True):
        """Set the priority of one slot, in the environments where `which` is true."""
        num_envs = self.frames.shape[1]
        which, priority = np.broadcast_to(which, num_envs), np.broadcast_to(priority, num_envs)
        self.tree.set(slot * num_envs + np.flatnonzero(which), priority[which])

    def sample(self, batch_size, rng):
        """Draw transitions by priority, one from each of `batch_size` equal parts of the total.

        Args:
            batch_size: B.
            rng: numpy Generator.

        Returns:
            (FrameBatch, rows [B] for `set_priorities`, probability of each [B])

        Raises:
            ValueError: nothing to sample yet.
        """
        rows = self.tree.sample(batch_size, rng)
        probability = self.tree.priorities[rows] / self.tree.total
        return self._transitions(*np.divmod(rows, self.frames.shape[1])), rows, probability

    def set_priorities(self, rows, priorities):
        """New priorities [B], above 0, of the rows [B] that were drawn since the last `add`."""
        self.tree.set(rows, priorities)
        self.largest = max(self.largest, float(np.max(priorities)))

    def flush(self):
        """Forget everything, the priorities too."""
        super().flush()
        self.tree, self.largest = SumTree(self.action.size), 1.0

    def is_ready(self, steps):
        """Whether `steps` steps, over all environments together, are stored, and at least one whole transition."""
        return super().is_ready(steps) and self.tree.total > 0

    @property
    def nbytes(self):
        """Bytes of all arrays when full."""
        return super().nbytes + self.tree.nodes.nbytes

    def state(self):
        """What `load` needs, as a dict of arrays."""
        return {**super().state(), **self.tree.state(), "largest": np.array(self.largest)}

    def load(self, state):
        """Take over the `state` of a buffer of the same shape; ValueError where the shapes differ."""
        largest = float(state["largest"])
        if not 0 < largest < np.inf:
            raise ValueError(f"a largest priority of {largest}")
        super().load(state)
        self.tree.load(state)
        self.largest = largest
