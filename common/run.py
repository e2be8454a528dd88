"""A run from its folder to its last line of output: what its loop carries, its games, its evaluations, its end.

run = Run("a_recipe", locals(), columns=("loss",))
carry = run.begin(model=model, optimizer=optimizer, rng=rng, step=0)
with closing(envs), run:
    while run.episode < episodes and not run.interrupted:
        ...
        carry.step = run.log_games(carry.step, returns, lengths, loss=loss)
        run.evaluate_every(eval_interval, make_envs, eval_episodes)
        run.save_every(save_interval)
run.evaluate(make_envs, eval_episodes)
run.tell()
"""

import contextlib
import datetime
import json
import math
import os
import shlex
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator

from common import checkpoint
from common.cli import UsageError
from common.evaluation import Evaluations, evaluate, make_greedy
from common.files import hold, parents_of, read_episodes, read_json, write_json
from common.log import EpisodeLog, Tally
from common.machine import surroundings
from common.plots import plot_learning_curve
from common.signals import Reachable, Signals

# The arguments that may change when a run continues. A change of any other would make it another run.
RESUMABLE = {
    "logdir", "resume", "episodes", "steps", "solved_at", "save_interval", "screenshots",
    "eval_interval", "eval_episodes", "eval_epsilon",
}  # fmt: skip

MOST_GAMES = 2**16  # of an evaluation, each in an environment of its own


class Moment(NamedTuple):
    """Where a run is, and the weights of its network `model` then; None stands for those that it has."""

    step: int
    episode: int
    seconds: float
    weights: list | None


class Run:
    """One run, used as a context manager: leaving it saves what the loop carries, draws the curve, and closes the log.

    Args:
        recipe: name of the recipe.
        arguments: dict of every argument of `train`, with at least `seed`, `logdir`, `resume` and `episodes`.
        columns: names of the recipe's own columns in `episodes.csv`.
        env_kwargs: the recipe's own arguments of the environment. `run.env_kwargs` has them and those of the argument
            of this name, and is saved, so that the environment can be made again.

    Raises:
        UsageError: the folder cannot be written; it holds a run already and `resume` is false; or `resume` is true and
            it holds none, or one of another recipe, or with other settings, or without its checkpoint; or an argument
            of the environment is given twice; or there are more games to evaluate than environments can be made.

    Nothing is written before `begin`. A run that was killed before its first checkpoint begins anew.
    """

    def __init__(self, recipe, arguments, columns=(), env_kwargs=None):
        self.recipe, self.arguments, own = recipe, dict(arguments), env_kwargs or {}
        given = self.arguments.get("env_kwargs") or {}
        if twice := own.keys() & given.keys():
            raise UsageError(
                f"--env_kwargs: {', '.join(sorted(twice))} is chosen by the recipe or has a flag of its own"
            )
        if self.arguments.get("eval_episodes", 0) > MOST_GAMES:
            raise UsageError(f"--eval_episodes={self.arguments['eval_episodes']}: at most {MOST_GAMES} are played")
        self.env_kwargs = {**own, **given}
        self.dir = Path(self.arguments["logdir"] or default_folder(recipe))
        self.arguments.update(logdir=str(self.dir), resume=False)
        unit = "step" if "steps" in self.arguments else "game"  # what the run is planned in
        self.log = EpisodeLog(self.dir, columns, unit, self.arguments["steps" if unit == "step" else "episodes"])
        self.evaluations = Evaluations(self.dir)
        self.signals = Signals()
        self.scored = None  # the last evaluation and what was said of it
        self.broken_off, self.unevaluated = False, None  # an evaluation: here by Ctrl-C, or before the run was resumed
        self.carry = self.lock = None
        self.seconds_before, self.started = 0.0, None
        self.resuming = arguments["resume"]
        if self.resuming:
            self._check()
        else:
            self._refuse_a_second_run()
        self.resumed = self.resuming and bool(checkpoint.checkpoints(self.dir / "checkpoint"))

    def _refuse_a_second_run(self):
        if os.path.exists(self.dir / "config.json"):
            raise UsageError(f"{self.dir} holds a run already: continue it with --resume, or choose another --logdir")

    def _check(self):
        for name in ("config.json", "episodes.csv"):
            if not os.path.exists(self.dir / name):
                raise UsageError(f"--resume: {self.dir} holds no run, {name} is missing")
        config = read_json(self.dir / "config.json")
        kinds = {"recipe": str, "arguments": dict, "env_kwargs": dict, "continued": list}
        for name, kind in kinds.items():
            if not isinstance(config.get(name, [] if name == "continued" else None), kind):
                raise UsageError(f"--resume: {self.dir / 'config.json'} cannot be read: {name} is missing or wrong")
        if (self.dir / "evaluation.json").exists():
            read_json(self.dir / "evaluation.json")  # `note` adds to it
        if checkpoint.checkpoints(self.dir / "checkpoint"):
            checkpoint.read_manifest(self.dir / "checkpoint")
        elif games := len(read_episodes(self.dir)["episode"]):
            raise UsageError(f"--resume: {self.dir} holds {games} games, but their checkpoint is missing")
        if config["recipe"] != self.recipe:
            raise UsageError(f"{self.dir} holds a run of {config['recipe']}, not of {self.recipe}")
        before = {**config["arguments"], "env_kwargs": config["env_kwargs"]}
        now = {**self.arguments, "env_kwargs": json.loads(json.dumps(self.env_kwargs))}
        names = (before.keys() | now.keys()) - RESUMABLE
        for name in sorted(names, key=lambda name: (name == "env_kwargs", name)):  # flags that are a part of it first
            if name not in before:
                raise UsageError(f"--resume: {self.dir / 'config.json'} lacks the argument {name}")
            if before[name] != now.get(name):
                raise UsageError(f"--resume: --{name}={now.get(name)}, but the run was started with {before[name]}")

    def begin(self, **carried):
        """Start the run and return what the loop carries: as given, or as it was last saved if the run is resumed.

        A new run is saved at once.

        Args:
            carried: see `checkpoint.Carry`; `step` counts environment steps. A network is written as `<name>.keras`.

        Returns:
            Carry, with these names as its attributes.
        """
        self.carry = checkpoint.Carry(**carried)
        self.carry.parts()  # what cannot be saved is named before anything is written
        try:
            with parents_of(self.dir):
                self._start()
        except OSError as error:
            raise UsageError(f"{self.dir} cannot be written: {error.strerror or error}") from None
        print(f"run             {self.dir}", flush=True)  # where to look while it trains
        return self.carry

    def _start(self):
        """Lock the folder, and restore the run or begin it; a start that fails leaves nothing that was not there."""
        is_new, there = not self.dir.exists(), None
        try:
            self.dir.mkdir(exist_ok=True)
            self.lock = hold(self.dir)
            there = set(self.dir.iterdir())
            self._restore() if self.resumed else self._create()
            self.saved_at = self.evaluated_at = self.carry.step
            self.log.open(self.carry.step)
            self.log.describe(self.carry.step, self.arguments)
            checkpoint.write_networks(self._networks()) if self.resumed else self.save()
        except BaseException as error:
            in_use = there is None and isinstance(error, UsageError)
            if there is not None and not self.resumed:
                for path in set(self.dir.iterdir()) - there:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
            if is_new and not in_use:
                with contextlib.suppress(OSError):
                    self.dir.rmdir()
            self._release()
            raise

    def _release(self):
        """Let another process write into the folder."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def _create(self):
        if not self.resuming:
            self._refuse_a_second_run()  # another start may have come first
        self.log.create()
        settings = {"recipe": self.recipe, "arguments": self.arguments, "env_kwargs": self.env_kwargs}
        write_json(self.dir / "config.json", {**settings, **surroundings()})  # last: from now on there is a run

    def _restore(self):
        """Read and check everything, and only then write."""
        tensors, *_ = self.carry.parts()
        state, arrays = checkpoint.restore(self.dir / "checkpoint", self._identity(), tensors)
        self.carry.take(state, arrays)
        self.log.load(state["(log)"])
        self.evaluations.load(self.carry.step)
        self.seconds_before = state["(seconds)"]
        config = read_json(self.dir / "config.json")
        config.setdefault("continued", []).append({"after_episode": self.episode, **surroundings()})
        self.log.cut()
        self.evaluations.cut()
        write_json(self.dir / "config.json", {**config, "arguments": self.arguments})
        if state.get("(broken off)"):
            weights = self.carry.networks()["model"].get_weights()
            self.unevaluated = Moment(self.carry.step, self.episode, self.seconds, weights)

    def _identity(self):
        return {"recipe": self.recipe, "env_id": self.arguments["env_id"]}

    def __enter__(self):
        """From here on Ctrl-C, SIGTERM and SIGHUP set `interrupted`, which the loop reads; a second acts at once."""
        self.started = time.monotonic()
        self.signals.__enter__()
        return self

    @property
    def interrupted(self):
        """The number of the signal that asked the run to end, 0 if there was none."""
        return self.signals.number

    def in_graph(self, envs):
        """The same environments for a graph that steps them: their exceptions and a second Ctrl-C end it as usual."""
        return Reachable(envs, self.signals)

    def __exit__(self, kind, error, traceback):
        self.seconds_before, self.started = self.seconds, None
        try:
            if error is None:
                self.save()
                plot_learning_curve(self.dir)
        finally:
            self.log.close()
            self._release()
            self.signals.__exit__(kind, error, traceback)
        if error is None and self.interrupted:
            self.signals.stop()

    @property
    def episode(self):
        """Games recorded so far."""
        return self.log.episode

    @property
    def seconds(self):
        """Seconds of training over all continuations, including the evaluations in between."""
        return self.seconds_before + (time.monotonic() - self.started if self.started else 0.0)

    def mean_of_last(self, count=100):
        """Mean return of the last `count` games (at most 100); minus infinity while there are fewer games."""
        last = list(self.log.returns)[-count:]
        return sum(last) / count if len(last) == count else -math.inf

    def log_games(self, step, episode_returns, episode_lengths, **own):
        """Record whole games that were played side by side since `step`.

        Args:
            step: environment steps before them.
            episode_returns, episode_lengths: one per game.
            own: the recipe's columns, the same for all of them.

        Returns:
            Environment steps after them.
        """
        for episode_return, length in zip(episode_returns, episode_lengths, strict=True):
            step += int(length)
            self.log.add(step, self.seconds, episode_return, int(length), own)
        self.log.publish(step, {"episode_return": episode_returns, "episode_length": episode_lengths, **own})
        return step

    def log_steps(self, step, reward, playing, ended, **own):
        """Record one step of N games in progress, and the games that ended with it.

        Args:
            step: environment steps so far.
            reward: [N].
            playing: [N] bool, false where the environment only reset.
            ended: [N] bool, the game is over.
            own: the recipe's columns, numbers or [N]; the mean over the steps of a game is recorded.
        """
        self._log(step, self.log.tally.add(reward, playing, ended, own), own)

    def log_rollout(self, step, reward, ended, **own):
        """Record T steps of N games, where a new game begins with the step after an end, and the games that ended.

        Args:
            step: environment steps before them.
            reward: [T, N].
            ended: [T, N] bool, the game is over.
            own: the recipe's columns, the same number for all these steps.

        Returns:
            Environment steps after them.
        """
        first, playing = 0, np.ones(reward.shape[1], bool)
        for last in np.union1d(np.flatnonzero(ended.any(axis=1)), len(ended) - 1):  # rows with an end, and the last
            paid, count = reward[first : last + 1].sum(axis=0, dtype=float), int(last) + 1 - first
            step += count * len(playing)
            self._log(step, self.log.tally.add(paid, playing, ended[last], own, count), own)
            first += count
        return step

    def _log(self, step, games, own):
        for episode_return, length, means in games:
            self.log.add(step, self.seconds, episode_return, length, means)
        if games:
            returns, lengths, means = zip(*games, strict=True)
            means = {name: [game[name] for game in means] for name in own}
            self.log.publish(step, {"episode_return": returns, "episode_length": lengths, **means})

    def abandon_games(self):
        """Forget the games in progress, because their environments could not be restored."""
        self.log.tally = Tally()

    def save_every(self, interval):
        """Save when another multiple of `interval` steps is reached; call it last in the loop."""
        if self.carry.step // interval > self.saved_at // interval:
            self.save()
        self.saved_at = self.carry.step

    def save(self):
        """Write every network, then a checkpoint of what the loop carries and of the log, each whole or not at all.

        A step that was saved before is not saved again.

        Raises:
            FloatingPointError: a value is NaN or infinite; what was saved before stays.
        """
        if self.unevaluated or (self.dir / "checkpoint" / checkpoint.name_of(self.carry.step)).exists():
            return
        tensors, state, arrays = self.carry.parts()
        state.update({"(log)": self.log.state(), "(seconds)": self.seconds, "(broken off)": self.broken_off})
        self.log.sync()
        about = (self.carry.step, self._identity(), tensors, state, arrays, self._networks())
        checkpoint.save(self.dir / "checkpoint", *about)

    def _networks(self):
        """The networks that the run writes, by the paths where they go."""
        return {self.dir / f"{name}.keras": network for name, network in self.carry.networks().items()}

    def evaluate_every(self, interval, make_envs, episodes, epsilon=0.0):
        """`evaluate` when another multiple of `interval` steps is reached, never if it is 0; before `save_every`.

        An evaluation that Ctrl-C broke off is made when the run is resumed, with the network of that time.
        """
        if self.unevaluated and not self._make_up(make_envs, episodes if interval else 0, epsilon):
            return
        if interval and self.carry.step // interval > self.evaluated_at // interval:
            self.broken_off = self.evaluate(make_envs, episodes, epsilon) is None and episodes > 0
            self.save()  # so that no evaluation is lost
        self.evaluated_at = self.carry.step

    def _make_up(self, make_envs, episodes, epsilon):
        """Make the evaluation that was broken off before the run was resumed; false if it was broken off again."""
        if episodes:
            model = self.carry.networks()["model"]
            now = model.get_weights()
            model.set_weights(self.unevaluated.weights)
            scores = self._evaluate(model, self.unevaluated, make_envs, episodes, epsilon)
            model.set_weights(now)
            if scores is None:
                return False
        self.unevaluated = None  # from here on the run is saved again
        return True

    def evaluate(self, make_envs, episodes, epsilon=0.0):
        """Play whole games with the network `model`, separate from training and with the same seeds every time.

        Adds a line to `evaluations.csv`, writes `evaluation.json`, prints the scores, and keeps the best network as
        `best.keras`. With 0 `episodes` it does nothing.

        Args:
            make_envs: number of environments → a vector of so many.
            episodes: whole games.
            epsilon: probability of a random action; 0 is greedy.

        Returns:
            evaluation.Scores; None without games, or after Ctrl-C.
        """
        if not episodes:
            return None
        if self.scored and self.scored[:4] == (self.carry.step, make_envs, episodes, epsilon):
            print(self.scored[-1])  # the last interval ended with the training
            return self.scored[-2]
        now = Moment(self.carry.step, self.episode, self.seconds, None)
        return self._evaluate(self.carry.networks()["model"], now, make_envs, episodes, epsilon)

    def _evaluate(self, model, moment, make_envs, episodes, epsilon):
        """`evaluate` for a model as it was at `moment`."""
        seed = (2**29 + 10_000 * self.arguments["seed"]) % 2**30  # of the first game; runs of other seeds have others
        how = f"epsilon {epsilon}" if epsilon else "greedy"
        with contextlib.closing(make_envs(episodes)) as envs:
            act = make_greedy(model, epsilon, seed, envs.single_action_space)
            scores = evaluate(envs, act, seed, how, lambda: self.interrupted)
        if scores is None:
            return None
        if not np.isfinite(scores.returns).all():
            raise FloatingPointError(
                f"a return of the evaluation at step {moment.step} is NaN or infinite; the last good checkpoint is kept"
            )
        self.evaluations.add(moment.step, moment.episode, round(moment.seconds, 3), scores, model)
        found = {"step": moment.step, "epsilon": epsilon, "scores": scores.returns.tolist()}
        write_json(self.dir / "evaluation.json", found)  # anew: what was noted of another step goes
        said = f"{self.arguments['env_id']}, step {moment.step:,}: {scores}, {how}"
        self.log.points(moment.step, {"evaluation_return": scores.returns.mean()})
        self.scored = (moment.step, make_envs, episodes, epsilon, scores, said)
        if self.started:
            self.log.restart_rate(self.carry.step)
            self.log.progress.say(said)
        else:
            plot_learning_curve(self.dir)
            print(said)
        return scores

    def note(self, **values):
        """Add numbers or lists of numbers, measured with the trained network, to `evaluation.json`."""
        path = self.dir / "evaluation.json"
        write_json(path, {**(read_json(path) if path.exists() else {}), **values})

    def tell(self, is_final=False):
        """Print how long the training took, where everything is, and what to type next.

        Args:
            is_final: whether more training would change nothing, so that no command for it is printed.
        """
        returns = self.log.returns
        last = f"; the last {len(returns)} average {np.mean(returns):.2f}" if returns else ""
        trained = f"{self.episode:,} games, {self.carry.step:,} steps in {self.seconds:.1f} s{last}"
        print(f"trained         {trained}")
        optimizers = [value for value in vars(self.carry).values() if hasattr(value, "iterations")]
        if optimizers and not any(int(optimizer.iterations) for optimizer in optimizers):
            flags = [f"--{name}" for name in ("learning_starts", "train_interval", "n_step") if name in self.arguments]
            print(f"no update       was made, the network is as it began{': see ' * bool(flags)}{', '.join(flags)}")
        print(f"learning curve  {self.dir / 'learning_curve.png'}")
        print(f"model           {self.dir / 'model.keras'}")
        print(f"event file      {max(self.dir.glob('events.out.*'))}")  # the newest: its name has the time
        folder, env_id = shlex.quote(str(self.dir)), str(self.arguments["env_id"])
        world = f" --env_id={shlex.quote(env_id)}" if ":" in env_id else ""  # only what is typed is imported
        print(f"to watch it     tensorboard --logdir={folder}")
        video = " --video" if has_pictures(env_id) else ""
        print(f"to play with it python {script('play')} --run={folder}{world} --episodes=100{video}")
        if is_final:
            return
        counts = {"steps": self.carry.step, "episodes": self.episode}
        ended = [name for name, count in counts.items() if count >= self.arguments.get(name, math.inf)] or ["episodes"]
        longer = " ".join(f"--{name}={2 * counts[name]}" for name in ended)
        again = f"--logdir={folder}{world} --resume {longer}"
        if self.mean_of_last() >= self.arguments.get("solved_at", math.inf):
            again += " --solved_at=1e9"  # a goal that is reached would end the training at once
        print(f"to train on     python {script(self.recipe)} {again}")


def has_pictures(env_id):
    """Whether a registered environment names pictures among what it can render, as far as its entry point tells."""
    made_by = gym.spec(env_id.rpartition(":")[2]).entry_point
    made_by = load_env_creator(made_by) if isinstance(made_by, str) else made_by
    return "rgb_array" in getattr(made_by, "metadata", {}).get("render_modes", [])


def script(name):
    """The path of a recipe as one can type it in the working directory."""
    path = Path(__file__).parent.parent / "recipes" / f"{name}.py"
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def finite(loss, step):
    """The loss as a float; FloatingPointError if it is NaN or infinite, which ends the run with one line and code 1."""
    if not np.isfinite(loss):
        raise FloatingPointError(f"the loss is {float(loss)} at step {step}; the last good checkpoint is kept")
    return float(loss)


def due(count, interval, batch):
    """How many of the last `batch` counts are multiples of `interval`: `count % interval == 0` for whole batches."""
    return count // interval - (count - batch) // interval


def default_folder(recipe):
    """`runs/<recipe>/<date-time>` below the working directory."""
    return Path("runs") / recipe / datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
