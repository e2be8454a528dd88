"""Train a recipe with many seeds, one on each core, and draw them into one picture.

    python recipes/sweep.py --recipe=compiled_ppo_cartpole --seeds=32
    python recipes/sweep.py --recipe=dqn_cartpole --seeds=10 --flags="--steps=20000 --n_step=3" --logdir=runs/three
    python recipes/sweep.py --logdir=runs/three --resume

Each seed is a run of the recipe in a process of its own, with one thread of TensorFlow, in the folder of its number. It
has finished when its process ends without an error, and then `finished.json` is there. `--resume` continues the seeds
that were interrupted or failed, and starts those that are missing; with it only `--seeds` and `--processes` may change.
The picture, `seeds.png`, has each run as a thin line, the interquartile mean, and its 95 % bootstrap interval.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_type_hints

import fire
import numpy as np

from common.cli import Natural, Seed, Size, UsageError, convert, read_words, strict, validated
from common.files import hold, parents_of, read_episodes, read_json, write_json
from common.machine import surroundings
from common.plots import plot_runs, smoothed
from common.program import RECIPES
from common.run import default_folder, script
from common.signals import Signals

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def read_flags(recipe, flags):
    """A recipe's flags in one text → dict of strings; UsageError if there is no such recipe, or if it refuses them."""
    names = sorted(path.stem for path in RECIPES.glob("*.py") if "\ndef train(" in path.read_text())
    if recipe not in names:
        near = difflib.get_close_matches(recipe, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"--recipe={recipe}: no recipe of this name trains; {hint}")
    train = importlib.import_module(f"recipes.{recipe}").train
    hints = get_type_hints(train, include_extras=True)
    try:
        typed = read_words(shlex.split(flags), {name: hints[name] for name in inspect.signature(train).parameters})
        for name, value in typed.items():
            convert(name, value, hints[name])
    except (UsageError, ValueError) as error:  # ValueError: a quote that is not closed
        raise UsageError(f"--flags: {error}") from None
    if taken := {"seed", "logdir", "resume"} & typed.keys():
        raise UsageError(f"--flags: the sweep chooses --{min(taken)} of each run")
    return typed


def begin(folder, config, resume):
    """Lock the folder of the sweep and write its config.json → a context, at whose end the folder is free again.

    Raises:
        UsageError: the folder is in use, cannot be written, or is not empty although nothing is resumed.
    """
    try:
        with contextlib.ExitStack() as context:
            context.enter_context(parents_of(folder / "config.json"))
            context.callback(os.close, hold(folder))
            if not resume and any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty: continue a sweep with --resume, or choose another --logdir")
            write_json(folder / "config.json", config)
            return context.pop_all()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None


def start(recipe, words, seed, run):
    """Start a seed, or continue its run → the process, and a file with what it says on stderr."""
    command = [sys.executable, str(RECIPES / f"{recipe}.py"), *words, f"--seed={seed}", f"--logdir={run}"]
    command += [f"--resume={(run / 'config.json').exists()}"]
    said = tempfile.TemporaryFile("w+", errors="replace")
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said}
    # In a process group of its own, so that it does not hear Ctrl-C twice, which would end it without saving.
    return subprocess.Popen(command, env=os.environ | ONE_THREAD, process_group=0, **streams), said


def stop(processes):
    """Let runs save what they carry and end; another signal meanwhile ends them at once."""
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            process.kill()
        raise


def train_all(recipe, words, runs, processes, signals):
    """Train the seeds of `runs`, a dict seed → folder, until all have ended or a signal comes → seeds that failed.

    Raises:
        UsageError: the recipe refuses the flags before any run has begun.
    """
    waiting, running, failed = [*runs], {}, []
    try:
        while (waiting or running) and not signals.number:
            while waiting and len(running) < processes:
                seed = waiting.pop(0)
                running[seed] = start(recipe, words, seed, runs[seed])
            time.sleep(0.1)
            for seed in [seed for seed, (process, _) in running.items() if process.poll() is not None]:
                process, said = running.pop(seed)
                code, last = process.returncode, last_line(said)
                if code == 0:
                    finish(seed, runs[seed])
                elif code == 2 and not any((run / "config.json").exists() for run in runs.values()):
                    raise UsageError(last)
                else:
                    failed.append(seed)
                    print(f"seed {seed} failed with code {code}: {last}", file=sys.stderr, flush=True)
    finally:
        stop([process for process, _ in running.values()])
    return failed


def last_line(said):
    """The last line of a file, which is closed then."""
    with said:
        said.seek(0)
        return (said.read().splitlines() or ["it said nothing"])[-1]


def finish(seed, run):
    """Mark a run as finished, and print what it came to."""
    seconds = float(read_episodes(run)["seconds"].max(initial=0))
    write_json(run / "finished.json", {"seconds": seconds})
    print(f"seed {seed}: {score(run):.4g} in {seconds:.1f} s", flush=True)


def score(run):
    """The mean return of the last evaluation, or where there is none of the last 100 games; NaN without a game."""
    path = run / "evaluation.json"
    scores = read_json(path).get("scores") if path.exists() else None
    return float(np.mean(scores or read_episodes(run)["episode_return"][-100:].tolist() or np.nan))


@validated
def sweep(
    recipe: str = "",
    seeds: Size = 10,
    first_seed: Seed = 0,
    flags: str = "",
    logdir: str = "",
    processes: Natural = 0,
    resume: bool = False,
) -> Path:
    """Train a recipe with several seeds, draw their learning curves, and return the folder of the sweep.

    Args:
        recipe: name of a recipe that trains, such as dqn_cartpole.
        seeds: number of seeds.
        first_seed: the lowest seed; the others follow it.
        flags: flags of the recipe in quotes, such as "--steps=20000 --n_step=3".
        logdir: folder of the sweep; runs/sweep/<recipe>/<date-time> if empty.
        processes: runs at once; 0 means one for each core that this process may use.
        resume: continue the sweep in logdir; what is not given is as it was.
    """
    fixed = {"recipe": recipe, "flags": flags, "first_seed": first_seed}
    arguments = {**fixed, "seeds": seeds, "processes": processes}
    folder = Path(logdir or default_folder(f"sweep/{recipe}"))
    before = read_json(folder / "config.json").get("sweep") if resume else fixed
    if not isinstance(before, dict):
        raise UsageError(f"--resume: {folder} holds no sweep")
    for name, value in fixed.items():
        if value != before.get(name):
            raise UsageError(f"--resume: --{name}={value}, but the sweep was started with {before.get(name)}")
    typed, again = read_flags(recipe, flags), "--resume"
    convert("seed", first_seed + seeds - 1, Seed)
    if ":" in typed.get("env_id", ""):  # only a module that is typed is imported: it must be typed again
        again += f" --flags={shlex.quote(arguments.pop('flags'))}"
    words = [f"--{name}={value}" for name, value in typed.items()]
    runs = {seed: folder / str(seed) for seed in range(first_seed, first_seed + seeds)}
    missing = {seed: run for seed, run in runs.items() if not (run / "finished.json").exists()}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    with begin(folder, {"sweep": fixed, "arguments": arguments, **surroundings()}, resume), Signals() as signals:
        print(f"sweep           {folder}", flush=True)
        try:
            failed = train_all(recipe, words, missing, processes or cores, signals)
        except UsageError:
            if not resume and len([*folder.iterdir()]) == 1:  # no run has begun
                (folder / "config.json").unlink()
            raise
    if signals.number:
        print(f"to go on        python {script('sweep')} --logdir={shlex.quote(str(folder))} {again}")
        signals.stop()

    finished = [run for run in runs.values() if (run / "finished.json").exists()]
    if curves := [smoothed(run) for run in finished if len(read_episodes(run)["episode"])]:
        plot_runs(folder / "seeds.png", {" ".join([recipe, *words]): curves}, title=f"seeds from {first_seed} on")
        scores = [score(run) for run in finished]
        numbers = f"median {np.median(scores):.4g}, lowest {min(scores):.4g}, highest {max(scores):.4g}"
        print(f"{len(finished)} seeds: {numbers}; {folder / 'seeds.png'}")
    if failed:
        raise ChildProcessError(f"{len(failed)} of {seeds} seeds failed: {', '.join(map(str, failed))}")
    return folder


if __name__ == "__main__":
    fire.Fire(strict(sweep))
