"""The record of the games of a run: lines in `episodes.csv`, TensorBoard points, the line on the console."""

import collections
import contextlib
import itertools
import math
import time

import numpy as np

from common.cli import UsageError
from common.files import EPISODE_COLUMNS, exact, read_episodes, sync, write_text
from common.lazy import tf
from common.progress import Progress

POINT_SECONDS = 0.05  # the least time between two TensorBoard points, each of which takes longer than some games
RATE_SECONDS = 5  # steps/s are measured over about this time


class EpisodeLog:
    """The games of one run.

    Args:
        folder: of the run.
        columns: the recipe's own columns.
        unit: what is planned, `game` or `step`.
        total: how many of them.
    """

    def __init__(self, folder, columns, unit, total):
        self.folder, self.path, self.unit, self.total = folder, folder / "episodes.csv", unit, total
        self.columns = (*EPISODE_COLUMNS, *columns)
        self.episode, self.returns, self.tally = 0, collections.deque(maxlen=100), Tally()
        self.csv = self.events = self.progress = None
        self.last_point = -math.inf

    def create(self):
        """Begin an empty table."""
        write_text(self.path, ",".join(self.columns) + "\n")

    def load(self, state):
        """Continue after `state`; the table is only read, and `cut` changes it. UsageError where it is damaged."""
        self.episode = state["episode"]
        table = read_episodes(self.folder, rows=self.episode)
        if tuple(table) != self.columns:
            raise UsageError(f"{self.path} is damaged: its first line is not {','.join(self.columns)}")
        if len(table["episode"]) < self.episode:
            raise UsageError(f"{self.path} is damaged: it lacks games that the checkpoint knows of")
        self.returns.extend(table["episode_return"])
        self.tally.load(state["tally"])

    def cut(self):
        """Drop the lines that were written after the state that was loaded, because their games are played again."""
        with open(self.path) as file:
            write_text(self.path, "".join(itertools.islice(file, 1 + self.episode)))

    def state(self):
        """What `load` needs, as JSON can hold it."""
        return {"episode": self.episode, "tally": self.tally.state()}

    def open(self, step):
        """Open the files and show the bar; `step` is the number of steps so far."""
        self.csv = open(self.path, "a", newline="")
        self.events = tf.summary.create_file_writer(str(self.folder))
        self.progress = Progress(self.total, self.unit, min(step if self.unit == "step" else self.episode, self.total))
        self.shown_at = step
        self.rate = None
        self.restart_rate(step)

    def restart_rate(self, step):
        """Count steps/s from now on: what was done since the last game was no training."""
        self.rate_from = (time.monotonic(), step)

    def add(self, step, seconds, episode_return, episode_length, own):
        """Add a line for one game; it is only certain to be on the disk after `sync`.

        FloatingPointError if the return is NaN or infinite, which ends the run with one line and code 1.
        """
        if not math.isfinite(episode_return):
            raise FloatingPointError(
                f"the return of a game is {episode_return} at step {step}; the last good checkpoint is kept"
            )
        self.episode += 1
        self.returns.append(float(episode_return))
        numbers = (self.episode, step, round(seconds, 3), episode_return, episode_length)
        own = [f"{float(own[name]):.7g}" for name in self.columns[len(EPISODE_COLUMNS) :]]
        self.csv.write(",".join([*map(exact, numbers), *own]) + "\n")

    def publish(self, step, values):
        """After some games: flush their lines, move the bar, and add their means to the TensorBoard curves."""
        self.csv.flush()
        means, now = {name: float(np.mean(value)) for name, value in values.items()}, time.monotonic()
        then, before = self.rate_from
        if self.rate is None or now - then > RATE_SECONDS:
            self.rate, self.rate_from = (step - before) / max(now - then, 1e-9), (now, step)
        if now - self.last_point > POINT_SECONDS:
            self.last_point = now
            self.points(step, {**means, "steps_per_second": self.rate})
        shown = {"return": f"{means['episode_return']:.4g}", "step": f"{step:,}"}
        if "epsilon" in means:
            shown["epsilon"] = f"{means['epsilon']:.3g}"
        done = step - self.shown_at if self.unit == "step" else np.size(values["episode_return"])
        self.shown_at = step
        self.progress.update(done, **shown, **{"steps/s": f"{self.rate:.0f}"})

    def points(self, step, values):
        """Add one point to each of these TensorBoard curves."""
        with self._events():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=int(step))

    def describe(self, step, arguments):
        """Show the arguments of the run in TensorBoard as a table of text."""
        rows = [f"| {name} | ``{value!r}`` |" for name, value in arguments.items()]
        with self._events():
            tf.summary.text("arguments", "\n".join(["| argument | value |", "|---|---|", *rows]), step=int(step))

    @contextlib.contextmanager
    def _events(self):
        try:
            with self.events.as_default():
                yield
        except tf.errors.OpError as error:
            raise OSError(f"the event file cannot be written: {error.message}") from None

    def sync(self):
        """Wait until every line is on the disk."""
        self.csv.flush()
        sync(self.path)

    def close(self):
        """Close what is open, except for the event file, which a last evaluation may need."""
        for close in (self.progress.close, self.csv.close, self.events.flush):
            with contextlib.suppress(OSError, tf.errors.OpError):  # a full disk was reported before
                close()


class Tally:
    """Running return, length and sums of own columns of N games that are played side by side."""

    def __init__(self):
        self.sums = {}

    def add(self, reward, playing, ended, own, steps=1):
        """Add one step, or several together of which only the last one may end games.

        Args:
            reward: [N], the sum over these steps.
            playing: [N] bool, false where the environment only reset.
            ended: [N] bool, the game is over.
            own: dict name → numbers or [N].
            steps: how many steps these are; `own` holds for each of them.

        Returns:
            List of (return, length, means of own columns over the steps) of the games that ended.
        """
        for name, value in {"reward": reward, "length": steps, **{name: steps * own[name] for name in own}}.items():
            self.sums[name] = self.sums.get(name, np.zeros(len(playing))) + np.where(playing, value, 0)
        games = []
        for i in np.flatnonzero(ended):
            length = int(self.sums["length"][i])
            games.append((float(self.sums["reward"][i]), length, {n: float(self.sums[n][i]) / length for n in own}))
        for sums in self.sums.values():
            sums[ended] = 0
        return games

    def state(self):
        """What `load` needs, as JSON can hold it."""
        return {name: sums.tolist() for name, sums in self.sums.items()}

    def load(self, state):
        """Continue from `state`."""
        self.sums = {name: np.array(sums) for name, sums in state.items()}
