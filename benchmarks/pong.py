"""Minutes to Pong: `recipes/ppo_atari.py` with each network and precision, on one core or on two.

Two rules, both on the games of training, whose actions are sampled: when the mean of the last 20 games is 18, and when
that of the last 100 is above 18. What the network earns is apart from both: the mean of 100 greedy games at the end.
Other settings were tried on seed 100 (book/results/ppo_atari/log.md); the seeds here are those from 1000 on.

Writes book/results/ppo_atari/pong.json after every run, and at the end pong.png, the table in the recipe's page and a
line of its docstring. What is in the JSON file already is not run again. Refuses a tree with changes that no commit
holds.

    python benchmarks/pong.py [--only="small bfloat16"]
    python benchmarks/pong.py --only=texts    # from the runs that there are
"""

import json
import math
import os
import queue
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fire
import numpy as np
from results import clean_tree

from common.files import read_episodes, write_json, write_text
from common.plots import at_points, plot_runs, smoothed

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "book" / "results" / "ppo_atari"
PAGE, RECIPE = ROOT / "book" / "ppo_atari.md", ROOT / "recipes" / "ppo_atari.py"
# name → (flags, cores of a run, seeds)
SETTINGS = {
    "small bfloat16": ("--network=small --precision=bfloat16", 1, 5),
    "small float32": ("--network=small", 1, 1),
    "nature bfloat16": ("--precision=bfloat16", 2, 5),
}


def moment(episodes, games, goal):
    """(minutes, steps) when the mean return of the last `games` first was `goal` or more; None if it never was."""
    returns = episodes["episode_return"]
    means = np.convolve(returns, np.full(games, 1 / games), "valid") if len(returns) >= games else np.array([])
    reached = np.flatnonzero(means >= goal - 1e-9)
    if not len(reached):
        return None
    last = games - 1 + reached[0]
    return episodes["seconds"][last] / 60, int(episodes["step"][last])


def measure(name, seed, free):
    """One run, in runs/pong/, on cores of the queue `free`; one that was interrupted goes on."""
    flags, count, _ = SETTINGS[name]
    cores = [free.get() for _ in range(count)]
    run = ROOT / "runs" / "pong" / name.replace(" ", "_") / str(seed)
    words = [sys.executable, str(ROOT / "recipes" / "ppo_atari.py"), *flags.split(), "--eval_interval=0"]
    words += ["--eval_episodes=100", f"--seed={seed}", f"--logdir={run}", f"--resume={(run / 'config.json').exists()}"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(count))
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT)}
    pinned = partial(os.sched_setaffinity, 0, cores)  # the emulators' threads, too
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=environment, preexec_fn=pinned)
    for core in cores:
        free.put(core)
    episodes, config = read_episodes(run), json.loads((run / "config.json").read_text())
    seconds, mean = smoothed(run, "seconds")
    points = np.linspace(seconds[0], seconds[-1], 200)
    return {
        "seed": seed,
        "score": float(np.mean(json.loads((run / "evaluation.json").read_text())["scores"])),
        "last_20_at_18": moment(episodes, 20, 18.0),
        "last_100_above_18": moment(episodes, 100, 18.01),  # means of 100 whole numbers
        "steps": int(episodes["step"][-1]),
        "minutes": float(episodes["seconds"][-1] / 60),
        "curve": [points.round(1).tolist(), at_points(points, seconds, mean).round(2).tolist()],
        **{key: config[key] for key in ("versions", "machine", "git_commit")},
    }


def spread(values, digits):
    """Median (lowest to highest), where None comes after every number and is said as never."""
    numbers = [math.inf if value is None else value for value in values]
    shown = statistics.median(numbers), min(numbers), max(numbers)
    said = [f"{value:,.{digits}f}" if math.isfinite(value) else "never" for value in shown]
    return f"{said[0]} ({said[1]} to {said[2]})" if len(numbers) > 1 else said[0]


def table(results):
    """Markdown, one row for each setting."""
    lines = [
        "| flags | cores | seeds | 20 games at 18: minutes | steps | 100 games above 18: minutes | all steps: minutes "
        "| steps/s | 100 greedy games |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        short, long = ([run[rule] or (None, None) for run in runs] for rule in ("last_20_at_18", "last_100_above_18"))
        cells = (
            f"`{SETTINGS[name][0]}`",
            str(SETTINGS[name][1]),
            str(len(runs)),
            spread([minutes for minutes, _ in short], 1),
            spread([steps for _, steps in short], 0),
            spread([minutes for minutes, _ in long], 1),
            spread([run["minutes"] for run in runs], 1),
            spread([run["steps"] / run["minutes"] / 60 for run in runs], 0),
            spread([run["score"] for run in runs], 2),
        )
        lines.append("| " + " | ".join(cells) + " |")
    machines = (run["machine"] for runs in results.values() for run in runs)
    machines = "; ".join(sorted({machine["processor"] for machine in machines}))
    return "\n".join([*lines, "", f"{machines}, as many runs at once as fit on its cores; median (lowest to highest)."])


def with_table(page, results):
    """The text of the page with the table between its marks."""
    before, rest = page.split("<!-- pong -->\n")
    return f"{before}<!-- pong -->\n{table(results)}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


IN_DOCSTRING = re.compile(r"^\d+ seeds of Pong, .*?\(book/results/ppo_atari/pong\.json\)$", re.DOTALL | re.MULTILINE)


def in_words(runs):
    """What the command of the docstring reaches, as it says it."""
    scores, minutes = [run["score"] for run in runs], [run["minutes"] for run in runs]
    reached = [run["last_20_at_18"][0] for run in runs if run["last_20_at_18"]]
    when = f", after {min(reached):.0f} to {max(reached):.0f} minutes" if reached else ""
    return (
        f"{len(runs)} seeds of Pong, 100 greedy games each: median {statistics.median(scores):.2f}, lowest "
        f"{min(scores):.2f}; {statistics.median(minutes):.0f} minutes of training on\n"
        f"one core of an {runs[0]['machine']['processor']}. In training, where actions are sampled, 20 games in a row "
        f"averaged 18 on {len(reached)} of\n"
        f"{len(runs)} seeds{when} (book/results/ppo_atari/pong.json)"
    )


def run_all(only=""):
    """Run what is missing, or of that only one setting, or nothing."""
    if only not in ("", "texts", *SETTINGS):
        sys.exit(f"--only={only}: it is one of {', '.join(SETTINGS)}, texts")
    path = FOLDER / "pong.json"
    saved = json.loads(path.read_text()) if path.exists() else {}
    results = {name: saved.get(name, []) for name in SETTINGS}
    missing = {
        name: range(1000 + len(results[name]), 1000 + seeds)
        for name, (_, _, seeds) in SETTINGS.items()
        if only in ("", name) and len(results[name]) < seeds
    }
    if missing:
        clean_tree()
        FOLDER.mkdir(parents=True, exist_ok=True)
    for name, seeds in missing.items():
        free, cores = queue.SimpleQueue(), SETTINGS[name][1]
        for number in range(os.cpu_count()):
            free.put(number)
        with ThreadPoolExecutor(os.cpu_count() // cores) as pool:
            for run in pool.map(partial(measure, name, free=free), seeds):
                results[name].append(run)
                write_json(path, results)
                found = run["last_20_at_18"], run["last_100_above_18"], run["score"]
                print(f"{name}, seed {run['seed']}: {found}", flush=True)
    done = {name: runs for name, runs in results.items() if runs}
    minutes = {
        name: [(np.array(run["curve"][0]) / 60, np.array(run["curve"][1])) for run in runs]
        for name, runs in done.items()
    }
    plot_runs(FOLDER / "pong.png", minutes, against="minutes", title="ppo_atari, Pong")
    write_text(PAGE, with_table(PAGE.read_text(), done))
    write_text(RECIPE, IN_DOCSTRING.sub(in_words(done["small bfloat16"]), RECIPE.read_text()))


if __name__ == "__main__":
    fire.Fire(run_all)
