"""Evaluation: whole games, separate from training, each in an environment of its own and counted once."""

import functools
import zlib
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from common.files import exact, read_csv, write_network, write_text
from common.lazy import tf
from common.progress import Progress

LONGEST = 100_000  # steps of a game; where there is no time limit a greedy policy may walk in circles


class Scores(NamedTuple):
    """The outcome of G whole games."""

    returns: np.ndarray  # [G], undiscounted and unclipped
    lengths: np.ndarray  # [G], steps
    different: int  # games of which no two showed the same observations; a deterministic world repeats itself

    def __str__(self):
        mean, deviation, low, high = (f(self.returns) for f in (np.mean, np.std, np.min, np.max))
        games = f"{len(self.returns)} game{'s'[: len(self.returns) > 1]}"
        games += f" ({self.different} different)" if self.different < len(self.returns) else ""
        return f"{mean:.2f} ± {deviation:.2f}, {low:g} to {high:g}, length {self.lengths.mean():.1f}, {games}"


@functools.lru_cache(maxsize=2)
def compiled(model):
    """Compiled, once for each model: obs [N, ...], for a recurrent model state [N, S], too → a list of its outputs."""

    @tf.function
    def forward(*inputs):
        outputs = model(list(inputs) if len(inputs) > 1 else inputs[0])
        return outputs if isinstance(outputs, list | tuple) else [outputs]

    return forward


def make_greedy(model, epsilon=0.0, seed=0, action_space=None):
    """A function obs [N, ...] → actions [N, ...]: the greedy ones, random ones with probability `epsilon`.

    A discrete action is the number of the highest of the outputs, [N, A]. Where `action_space`, that of one
    environment, is a Box, the output is the action itself, [N, A], and is clipped to the bounds.

    A recurrent model takes a state besides, [N, S], and gives the next one as its second output. The function keeps
    it from call to call, with zeros at first: make another one where new games begin.

    It raises FloatingPointError where an output is NaN.
    """
    forward, rng, state = compiled(model), np.random.default_rng(seed), []

    def act(obs):
        if len(model.inputs) > 1 and not state:
            state.append(np.zeros((len(obs), *model.inputs[1].shape[1:]), np.float32))
        outputs, *rest = forward(obs, *state)
        state[:] = rest[: len(state)]
        outputs = outputs.numpy()  # [N, A]
        if np.isnan(outputs).any():  # which argmax would take for the highest
            raise FloatingPointError("the network's output is NaN, so that it chooses no action")
        explore = rng.random(len(outputs)) < epsilon
        if not isinstance(action_space, gym.spaces.Box):
            return np.where(explore, rng.integers(outputs.shape[-1], size=len(outputs)), outputs.argmax(-1))
        assert outputs.shape[1:] == action_space.shape, "the model's actions are not the environment's"
        low, high = action_space.low, action_space.high
        drawn, greedy = rng.uniform(low, high, outputs.shape), np.clip(outputs, low, high)
        return np.where(explore[:, None], drawn, greedy).astype(action_space.dtype)

    return act


def evaluate(envs, act, seed, how="greedy", stopped=lambda: False):
    """Play one whole game in each of N environments, announce how many there are, and show the progress.

    Args:
        envs: vector of environments in which `terminated` and `truncated` mean the end of a game.
        act: obs [N, ...] → actions [N, ...].
        seed: of the environments.
        how: how the actions are chosen, for the announcement.
        stopped: asked before every step whether to stop.

    Returns:
        Scores of N games, of at most `LONGEST` steps each; None if it was stopped.
    """
    count = envs.num_envs
    progress = Progress(count, "game", title=f"playing {count} {'game' if count == 1 else 'games'}, {how}")
    obs, _ = envs.reset(seed=seed)
    returns, lengths, playing = np.zeros(count), np.zeros(count, int), np.ones(count, bool)
    shown = [0] * count  # a checksum of all observations of each game
    while playing.any() and lengths.max() < LONGEST:
        if stopped():
            progress.close()
            return None
        for game in np.flatnonzero(playing):
            shown[game] = zlib.crc32(np.asarray(obs[game]).tobytes(), shown[game])
        obs, reward, terminated, truncated, _ = envs.step(act(obs))
        returns += reward * playing
        lengths += playing
        ended = playing & (terminated | truncated)
        playing &= ~ended
        progress.update(int(ended.sum()), step=f"{lengths.max():,}")
    progress.close()
    return Scores(returns, lengths, len(set(zip(shown, returns, lengths, strict=True))))


class Evaluations:
    """The evaluations of one run: `evaluations.csv` with a line for each, and the best network, `best.keras`.

    Args:
        folder: of the run.
    """

    COLUMNS = ("step", "episode", "seconds", "games", "mean", "deviation", "min", "max", "length")

    def __init__(self, folder):
        self.folder, self.path, self.rows = folder, folder / "evaluations.csv", []

    def load(self, step):
        """Continue from the evaluations up to `step`; the table is only read. UsageError where it is damaged."""
        if self.path.exists():
            rows = zip(*read_csv(self.path, self.COLUMNS).values(), strict=True)
            self.rows = [row[: len(self.COLUMNS)] for row in rows if row[0] <= step]

    def cut(self):
        """Drop the evaluations that came after those that were loaded, because they will be made again."""
        if self.path.exists():
            self._write()

    def add(self, step, episode, seconds, scores, model):
        """Add a line, or replace the one of the same step; save the network if no earlier one was better."""
        mean, others = scores.returns.mean(), [row for row in self.rows if row[0] != step]
        best = max((row[self.COLUMNS.index("mean")] for row in others), default=-np.inf)
        statistics = (mean, *(f(scores.returns) for f in (np.std, np.min, np.max)), scores.lengths.mean())
        self.rows = [*others, (step, episode, seconds, len(scores.returns), *statistics)]
        self._write()
        if mean >= best:
            write_network(self.folder / "best.keras", model)

    def _write(self):
        lines = [",".join(map(exact, row)) for row in self.rows]
        write_text(self.path, "\n".join([",".join(self.COLUMNS), *lines]) + "\n")
