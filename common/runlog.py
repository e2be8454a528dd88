"""A run's folder: settings, one line per episode, TensorBoard events, learning curve; and its line on the console."""

import collections
import contextlib
import csv
import datetime
import io
import json
import math
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common import checkpoint
from common.cli import UsageError
from common.lazy import tf

COLUMNS = ("episode", "step", "seconds", "episode_return", "episode_length")
# What may differ between a run and its continuation; everything else would make it another run.
RESUMABLE = {
    "logdir", "resume", "episodes", "solved_at", "save_interval", "save_memory", "screenshots",
    "eval_episodes", "eval_epsilon",
}  # fmt: skip
PACKAGES = ("tensorflow", "keras", "gymnasium", "ale-py", "numpy")


class RunLog:
    """The folder of one run and everything written to it while it trains. Leave it as a context to close it.

    Args:
        recipe: name of the recipe.
        arguments: dict of every argument of `train`, with at least `logdir`, `resume` and `episodes`.
        columns: names of the recipe's own columns in `episodes.csv`.
        env_kwargs: what the recipe gave to `gym.make` besides the id, so that the environment can be made again.

    Raises:
        UsageError: the folder cannot be written; it holds a run already and `resume` is false; or `resume` is true and
            it holds none, or one of another recipe, or with other settings, or without its checkpoint.

    `resumed` is true if there is a checkpoint to go on from; a run that was killed before its first one begins anew.
    """

    def __init__(self, recipe, arguments, columns=(), env_kwargs=None):
        arguments = dict(arguments)
        self.dir = Path(arguments["logdir"] or default_folder(recipe))
        self.episodes = arguments["episodes"]
        self.columns = (*COLUMNS, *columns)
        self.env_kwargs = env_kwargs or {}
        self.episode, self.seconds_before, self.last_point = 0, 0.0, -math.inf
        self.returns = collections.deque(maxlen=100)
        self.recipe, self.arguments = recipe, {**arguments, "logdir": str(self.dir), "resume": False}
        self.csv = self.bar = self.events = None
        if arguments["resume"]:
            self._check()
        self.resumed = arguments["resume"] and bool(checkpoint.checkpoints(self.dir / "checkpoint"))
        try:
            if not self.resumed:  # else `load` opens the files, when the checkpoint has been read
                self._create(anew=arguments["resume"])
                self._open()
        except OSError as error:
            raise UsageError(f"{self.dir} cannot be written: {error.strerror}") from None

    def _create(self, anew):
        self.dir.mkdir(parents=True, exist_ok=True)
        if (self.dir / "config.json").exists() and not anew:
            raise UsageError(f"{self.dir} holds a run already: continue it with --resume, or choose another --logdir")
        write_text(self.dir / "episodes.csv", ",".join(self.columns) + "\n")
        settings = {"recipe": self.recipe, "arguments": self.arguments, "env_kwargs": self.env_kwargs}
        self._write_config({**settings, **surroundings()})  # last: from now on there is a run

    def _check(self):
        try:
            config = json.loads((self.dir / "config.json").read_text())
            recipe, arguments = config["recipe"], dict(config["arguments"])
            games = len((self.dir / "episodes.csv").read_text().splitlines()) - 1
        except FileNotFoundError as error:
            raise UsageError(f"--resume: {self.dir} holds no run, {Path(error.filename).name} is missing") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"--resume: {self.dir} cannot be read: {error!r}") from None
        if games > 0 and not checkpoint.checkpoints(self.dir / "checkpoint"):
            raise UsageError(f"--resume: {self.dir} holds {games} games, but their checkpoint is missing")
        if recipe != self.recipe:
            raise UsageError(f"{self.dir} holds a run of {recipe}, not of {self.recipe}")
        for name in arguments.keys() - RESUMABLE:
            before, now = arguments[name], self.arguments.get(name)
            if before != now:
                raise UsageError(f"--resume: --{name}={now}, but the run was started with {before}")

    def _write_config(self, config):
        write_text(self.dir / "config.json", json.dumps(config, indent=2) + "\n")

    def _open(self):
        self.csv = open(self.dir / "episodes.csv", "a", newline="")
        self.events = tf.summary.create_file_writer(str(self.dir))
        self.bar = tqdm(total=self.episodes, initial=self.episode, unit="episode", disable=None, smoothing=0.1)
        self.started = time.monotonic()  # not before TensorFlow is loaded, which the event file needs

    @property
    def seconds(self):
        """Time spent training, over all continuations."""
        return self.seconds_before + time.monotonic() - self.started

    def log_episode(self, step, episode_return, episode_length, **own):
        """Record one whole game: a line in `episodes.csv`, one tick of the bar, and a point in every TensorBoard curve,
        though no more than 20 points a second, for a point takes longer than some games.
        """
        self.episode += 1
        self.returns.append(float(episode_return))
        row = dict(
            zip(COLUMNS, (self.episode, step, round(self.seconds, 3), episode_return, episode_length), strict=True),
            **own,
        )
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerow({k: _plain(v) for k, v in row.items()})
        self.csv.write(text.getvalue())
        self.csv.flush()
        if time.monotonic() - self.last_point > 0.05:
            self.last_point = time.monotonic()
            try:
                with self.events.as_default():
                    for name in self.columns[3:]:
                        tf.summary.scalar(name, float(row[name]), step=step)
            except tf.errors.OpError as error:
                raise OSError(f"the event file cannot be written: {error.message}") from None
        shown = {name: f"{float(row[name]):.4g}" for name in ("episode_return", "epsilon") if name in row}
        self.bar.set_postfix({**shown, "steps/s": f"{step / self.seconds:.0f}"}, refresh=False)
        self.bar.update(min(1, self.episodes - self.bar.n))

    def mean_of_last(self, count=100):
        """Mean return of the last `count` games, 100 at most; minus infinity before there are so many."""
        last = list(self.returns)[-count:]
        return sum(last) / count if len(last) == count else -math.inf

    def say(self, text):
        """Print a line without tearing the bar."""
        tqdm.write(text, file=sys.stderr)

    def state(self):
        """What `load` needs to continue this log."""
        return {"episode": self.episode, "seconds": self.seconds}

    def load(self, state):
        """Continue after `state`: lines that were written after it are dropped, for their episodes will come again."""
        config = json.loads((self.dir / "config.json").read_text())
        config.setdefault("continued", []).append({"after_episode": state["episode"], **surroundings()})
        try:
            lines = (self.dir / "episodes.csv").read_text().splitlines(keepends=True)
            if len(lines) < 1 + state["episode"]:
                raise UsageError(f"{self.dir / 'episodes.csv'} is damaged: it lacks games that the checkpoint knows of")
            self._write_config({**config, "arguments": self.arguments})
            write_text(self.dir / "episodes.csv", "".join(lines[: 1 + state["episode"]]))
            self.episode, self.seconds_before = state["episode"], state["seconds"]
            self.returns.extend(read_episodes(self.dir)["episode_return"] if self.episode else [])
            self._open()
        except OSError as error:
            raise UsageError(f"{self.dir} cannot be written: {error.strerror}") from None

    def save(self, model, **others):
        """Write `model.keras`, `<name>.keras` for others, and `learning_curve.png`, each whole or not at all."""
        for name, network in {"model": model, **others}.items():
            with replacing(self.dir / f"{name}.keras") as temporary:
                network.save(temporary)
        plot_learning_curve(self.dir)

    def save_evaluation(self, **values):
        """Write `evaluation.json`: what was measured with the trained model, numbers or lists of them."""
        write_text(self.dir / "evaluation.json", json.dumps(values) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for file in (self.bar, self.csv, self.events):
            with contextlib.suppress(OSError, tf.errors.OpError):  # a full disk was named before
                if file is not None:
                    file.close()

    def tell_what_is_there(self):
        """Print where everything is and what to type next."""
        print(f"learning curve  {self.dir / 'learning_curve.png'}")
        print(f"model           {self.dir / 'model.keras'}")
        print(f"event file      {next(self.dir.glob('events.out.*'))}")
        print(f"to watch it     tensorboard --logdir={shlex.quote(str(self.dir))}")
        print(f"to play with it python recipes/play.py --run={shlex.quote(str(self.dir))} --episodes=100 --video")
        again = f"--logdir={shlex.quote(str(self.dir))} --resume --episodes={2 * self.episodes}"
        print(f"to train on     python recipes/{self.recipe}.py {again}")


@contextlib.contextmanager
def interruptible():
    """Within it Ctrl-C tears no step apart: yields a function that tells whether it was pressed. Twice acts at once."""
    pressed = []

    def note(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(signum)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def default_folder(recipe):
    """`runs/<recipe>/<date-time>` below the working directory."""
    return Path("runs") / recipe / datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")


def surroundings():
    """What a result depends on besides the arguments: versions, machine, commit, date."""
    try:
        git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
        commit = subprocess.run(git, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "git_commit": commit,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def processor():
    """The processor's name as the system tells it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_text(path, text):
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def save_image(pixels, path):
    """Write [height, width] bytes as a gray PNG, whole or not at all; its folder is made."""
    from matplotlib.image import imsave

    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        imsave(temporary, np.repeat(pixels[..., None], 3, axis=-1))  # RGB: a colour map is off by one at times


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`, with its suffix; it replaces `path` if the block succeeds."""
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)  # mkstemp makes it private
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def read_episodes(folder):
    """`episodes.csv` of a run as a dict of float arrays, one per column."""
    with open(Path(folder) / "episodes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else COLUMNS)}


def rolling(values, window):
    """Mean and population deviation over the last `window` values, fewer at the beginning; two arrays like `values`."""
    pieces = [values[: i + 1] for i in range(min(window - 1, len(values)))]
    if len(values) >= window:
        pieces += list(np.lib.stride_tricks.sliding_window_view(values, window))
    return np.array([p.mean() for p in pieces]), np.array([p.std() for p in pieces])


def plot_learning_curve(folder):
    """Draw `learning_curve.png`: every episode's return, rolling mean and deviation; nothing without episodes.

    The window is a twentieth of the episodes, 20 at least and 100 at most.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display is needed, none is asked for
    from matplotlib.figure import Figure

    episodes = read_episodes(folder)
    if not len(episodes["episode"]):
        return
    window = min(100, max(20, len(episodes["episode"]) // 20))
    mean, deviation = rolling(episodes["episode_return"], window)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(episodes["step"], episodes["episode_return"], ".", color="0.7", markersize=3, label="episode")
    axes.plot(episodes["step"], mean, color="C0", label=f"mean of the last {window}")
    axes.fill_between(episodes["step"], mean - deviation, mean + deviation, color="C0", alpha=0.15, linewidth=0)
    axes.set(xlabel="environment steps", ylabel="return of a whole game")
    config = json.loads((Path(folder) / "config.json").read_text())
    axes.set_title(
        f"{config['recipe']} on {config['arguments'].get('env_id', '?')}, seed {config['arguments'].get('seed', '?')}"
    )
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    FigureCanvasAgg(figure)
    with replacing(Path(folder) / "learning_curve.png") as temporary:
        figure.savefig(temporary, dpi=120)


def _plain(value):
    """Numbers as short as they are exact."""
    return value if isinstance(value, int | str) else f"{float(value):.7g}"
