"""Minutes to Pong: PPO with each network and precision, and DQN against Rainbow, on one core or on two.

Two rules, both on the games of training, whose actions are sampled or at times random: when the mean of the last 20
games is 18, and when that of the last 100 is above 18. What the network earns is apart from both: the mean of 100 games
at the end. PPO's settings were tried on seed 100 (book/results/ppo_atari/log.md); the seeds here are from 1000 on.

Writes book/results/<recipe>/pong.json after every run, and at the end pong.png, the tables in the pages and the scores
in the docstrings. What is in a JSON file already is not run again. Refuses a tree with changes that no commit holds.

    python benchmarks/pong.py [dqn_atari rainbow_atari]
    python benchmarks/pong.py texts    # from the runs that there are
"""

import itertools
import json
import math
import operator
import os
import queue
import re
import statistics
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import fire
import numpy as np
from results import between_marks, clean_tree

from common.files import read_episodes, write_json, write_text
from common.plots import plot_runs, smoothed

ROOT = Path(__file__).parent.parent
RESULTS, BOOK, RECIPES = ROOT / "book" / "results", ROOT / "book", ROOT / "recipes"
FAST = "--learning_rate=2e-4 --train_interval=8 --precision=bfloat16"
DQN = f"--episodes=380 {FAST} --n_step=3 --epsilon_decay_steps=150000"
# recipe → name → (flags, cores of a run, seeds)
SETTINGS = {
    "ppo_atari": {
        "small bfloat16": ("--network=small --precision=bfloat16", 1, 5),
        "small float32": ("--network=small", 1, 1),
        "nature bfloat16": ("--precision=bfloat16", 2, 5),
    },
    "dqn_atari": {"DQN": (DQN, 1, 3)},
    "rainbow_atari": {
        "Rainbow": ("--episodes=300 --v_max=5 --sigma=0.1 --precision=bfloat16", 1, 3),
    },
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


def measure(recipe, name, seed, free):
    """One run, in runs/pong/, on cores of the queue `free`; one that was interrupted goes on."""
    flags, count, _ = SETTINGS[recipe][name]
    cores = [free.get() for _ in range(count)]
    run = ROOT / "runs" / "pong" / name.replace(" ", "_") / str(seed)
    words = [sys.executable, str(RECIPES / f"{recipe}.py"), *flags.split(), "--eval_interval=0"]
    words += ["--eval_episodes=100", f"--seed={seed}", f"--logdir={run}", f"--resume={(run / 'config.json').exists()}"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(count))
    environment = os.environ | threads | {"PYTHONPATH": str(ROOT)}
    pinned = partial(os.sched_setaffinity, 0, cores)  # the emulators' threads, too
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=environment, preexec_fn=pinned)
    for core in cores:
        free.put(core)
    return summary(run, seed)


def summary(run, seed):
    """What is kept of a run that has ended."""
    episodes, config = read_episodes(run), json.loads((run / "config.json").read_text())
    curves = {}
    for name, against in (("curve", "seconds"), ("curve_in_steps", "steps")):
        x, mean = smoothed(run, against)
        points = np.linspace(x[0], x[-1], 200)
        curves[name] = [points.round(1).tolist(), np.interp(points, x, mean).round(2).tolist()]
    return {
        "seed": seed,
        "score": float(np.mean(json.loads((run / "evaluation.json").read_text())["scores"])),
        "last_20_at_18": moment(episodes, 20, 18.0),
        "last_100_above_18": moment(episodes, 100, 18.01),  # means of 100 whole numbers
        "steps": int(episodes["step"][-1]),
        "minutes": float(episodes["seconds"][-1] / 60),
        **curves,
        **{key: config[key] for key in ("versions", "machine", "git_commit")},
    }


def spread(values, digits):
    """Median (lowest to highest), where None comes after every number and is said as never."""
    numbers = [math.inf if value is None else value for value in values]
    shown = statistics.median(numbers), min(numbers), max(numbers)
    said = [f"{value:,.{digits}f}" if math.isfinite(value) else "never" for value in shown]
    return f"{said[0]} ({said[1]} to {said[2]})" if len(numbers) > 1 else said[0]


def table(results):
    """Markdown, one row for each of these settings."""
    settings = {name: of for recipe in SETTINGS.values() for name, of in recipe.items()}
    lines = [
        "| | flags | cores | seeds | 20 games at 18: minutes | steps | 100 games above 18: minutes | all steps: "
        "minutes | steps/s | 100 games at the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results.items():
        short, long = ([run[rule] or (None, None) for run in runs] for rule in ("last_20_at_18", "last_100_above_18"))
        cells = (
            name,
            f"`{settings[name][0]}`",
            str(settings[name][1]),
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
    return between_marks(page, "pong", table(results))


# How each recipe acts in the games that are scored, and in those of training.
ACTS = {
    "ppo_atari": ("greedy games", "where actions are sampled"),
    "rainbow_atari": ("games", "with noise in the head"),
}


def in_docstring(recipe):
    """What finds the sentences of `in_words` in the recipe."""
    return re.compile(rf"^\d+ seeds of Pong, .*?\(book/results/{recipe}/pong\.json\)$", re.DOTALL | re.MULTILINE)


def in_words(recipe, runs):
    """What the command of the docstring reaches, as it says it."""
    scored, trained = ACTS[recipe]
    scores, minutes = [run["score"] for run in runs], [run["minutes"] for run in runs]
    reached = [run["last_20_at_18"][0] for run in runs if run["last_20_at_18"]]
    when = f", after {' to '.join(dict.fromkeys(f'{f(reached):.0f}' for f in (min, max)))} minutes" if reached else ""
    text = (
        f"{len(runs)} seeds of Pong, 100 {scored} each: median {statistics.median(scores):.2f}, lowest "
        f"{min(scores):.2f}; {statistics.median(minutes):.0f} minutes of training on one core of an "
        f"{runs[0]['machine']['processor']}. In training, {trained}, 20 games in a row averaged 18 on "
        f"{len(reached)} of {len(runs)} seeds{when} (book/results/{recipe}/pong.json)"
    )
    return textwrap.fill(text, 120, break_on_hyphens=False)


def saved(recipe):
    """The runs that there are: name → list of them, without the names that have none."""
    path = RESULTS / recipe / "pong.json"
    return json.loads(path.read_text()) if path.exists() else {}


def texts():
    """Every page and every docstring that shows these results → its file's content."""
    ppo, others = saved("ppo_atari"), saved("dqn_atari") | saved("rainbow_atari")
    found = {BOOK / "ppo_atari.md": ppo, BOOK / "dqn_atari.md": others, BOOK / "rainbow_atari.md": others}
    pages = {page: with_table(page.read_text(), runs) for page, runs in found.items() if runs}
    for recipe, name in (("ppo_atari", "small bfloat16"), ("rainbow_atari", "Rainbow")):
        path, words = RECIPES / f"{recipe}.py", in_words(recipe, saved(recipe)[name])
        pages[path] = in_docstring(recipe).sub(lambda _, words=words: words, path.read_text())
    return pages


def draw(folder, title, results):
    """The mean of the last games against minutes, a line for each run."""
    minutes = {
        name: [(np.array(run["curve"][0]) / 60, np.array(run["curve"][1])) for run in runs]
        for name, runs in results.items()
    }
    plot_runs(folder / "pong.png", minutes, against="minutes", title=f"{title}, Pong")


def run_all(*recipes):
    """Run what is missing, of these recipes or of all; `texts` runs nothing."""
    if not {*recipes} <= {"texts", *SETTINGS}:
        sys.exit(f"{' '.join(recipes)}: they are of {', '.join(SETTINGS)}, texts")
    done = {recipe: saved(recipe) for recipe in SETTINGS}
    missing = [
        (cores, seed, recipe, name)
        for recipe in recipes or SETTINGS
        for name, (_, cores, seeds) in SETTINGS.get(recipe, {}).items()
        for seed in range(1000 + len(done[recipe].get(name, [])), 1000 + seeds)
    ]
    if missing:
        clean_tree()
    for count, jobs in itertools.groupby(sorted(missing), key=operator.itemgetter(0)):
        free = queue.SimpleQueue()
        for number in range(os.cpu_count()):
            free.put(number)
        with ThreadPoolExecutor(os.cpu_count() // count) as pool:
            runs = [(recipe, name, pool.submit(measure, recipe, name, seed, free)) for _, seed, recipe, name in jobs]
            for recipe, name, future in runs:
                run = future.result()
                done[recipe].setdefault(name, []).append(run)
                (RESULTS / recipe).mkdir(parents=True, exist_ok=True)
                write_json(RESULTS / recipe / "pong.json", done[recipe])
                found = run["last_20_at_18"], run["last_100_above_18"], run["score"]
                print(f"{name}, seed {run['seed']}: {found}", flush=True)
    draw(RESULTS / "ppo_atari", "ppo_atari", done["ppo_atari"])
    both = done["dqn_atari"] | done["rainbow_atari"]
    if both:
        draw(RESULTS / "rainbow_atari", "dqn_atari and rainbow_atari", both)
    for path, text in texts().items():
        write_text(path, text)


if __name__ == "__main__":
    fire.Fire(run_all)
