"""Every quick recipe with its defaults, five seeds each: does it reach its goal, after how many steps and seconds?

Writes book/results/five_seeds.json after every run and book/results/five_seeds.md at the end, and keeps the pictures of
seed 0 in book/results/<recipe>/. What is in the JSON file already is not run again unless it is named.

    python benchmarks/five_seeds.py [names of runs to make anew ...]
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common.runlog import read_episodes, write_text

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
SEEDS = 5


def solved(run):
    """Mean of the last 100 training games."""
    return read_episodes(run)["episode_return"][-100:].mean()


def mean_score(run):
    """Mean return of the games played after training."""
    return np.mean(evaluation(run)["scores"])


def success(run):
    """Exact probability that the greedy policy reaches the goal."""
    return evaluation(run)["success_probability"]


def last_generation(run):
    """Mean reward of the last generation."""
    return evaluation(run)["generation_mean"][-1]


def shortest(run):
    """Share of the goals that are reached by a shortest way."""
    found = evaluation(run)
    return np.mean((np.array(found["returns"]) > 0) & (np.array(found["lengths"]) == found["shortest"]))


def reached(run):
    """Share of the goals that are reached."""
    return np.mean(np.array(evaluation(run)["returns"]) > 0)


def evaluation(run):
    return json.loads((run / "evaluation.json").read_text())


# name of the run → recipe, flags, what is measured, at least how much of it
GOALS = {
    "hardcoded_cartpole": ("hardcoded_cartpole", [], mean_score, 0),
    "q_table_frozenlake": ("q_table_frozenlake", [], success, 0.7401),
    "q_table_frozenlake, gamma 0.95": ("q_table_frozenlake", ["--gamma=0.95"], success, 0.7297),
    "q_network_frozenlake": ("q_network_frozenlake", [], success, 0.70),
    "neural_evolutionary_agent": ("neural_evolutionary_agent", [], last_generation, 0.95),
    "reinforce_cartpole": ("reinforce_cartpole", [], solved, 475),
    "reinforce_dropout_cartpole": ("reinforce_dropout_cartpole", [], solved, 475),
    "actor_critic_cartpole": ("actor_critic_cartpole", [], solved, 475),
    "actor_critic_two_networks": ("actor_critic_two_networks", [], solved, 475),
    "nfq_gridworld": ("nfq_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1),
    "nfq_gridworld, obstacle": ("nfq_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1),
    "nfq_gridworld, random goal": ("nfq_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1),
    "dqn_gridworld": ("dqn_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1),
    "dqn_gridworld, obstacle": ("dqn_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1),
    "dqn_gridworld, random goal": ("dqn_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1),
}


def measure(name, seed):
    """One run in a process of its own → what it reached and what it took."""
    recipe, flags, value, _ = GOALS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, f"recipes/{recipe}.py", *flags, f"--seed={seed}", f"--logdir={run}"]
        begin = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        wall = time.monotonic() - begin
        episodes, config = read_episodes(run), json.loads((run / "config.json").read_text())
        if seed == 0:
            keep(run, RESULTS / name.replace(", ", "_").replace(" ", "_"))
        return {
            "value": float(value(run)),
            "games": len(episodes["episode"]),
            "steps": int(episodes["step"][-1]),
            "seconds": float(episodes["seconds"][-1]),
            "wall_seconds": round(wall, 2),
            **{key: config[key] for key in ("versions", "machine", "git_commit", "started")},
        }


def keep(run, folder):
    """Pictures, settings and evaluation of a run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (*run.glob("*.png"), run / "evaluation.json"):
        shutil.copy(path, folder)
    config = json.loads((run / "config.json").read_text())
    config["arguments"]["logdir"] = "runs"  # the temporary one says nothing
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


HEAD = """# Five seeds of every quick recipe

Made by `python benchmarks/five_seeds.py`; the raw figures are in `five_seeds.json`. Every run has the defaults of its
recipe but for the flags shown. Seconds: of training, then of the whole process with start, evaluation and pictures;
median and range over the seeds.

| run | flags | measured | goal | seeds 0 to 4 | games | steps | training s | process s |
|---|---|---|---|---|---|---|---|---|"""


def table(results):
    """The results as a Markdown page."""
    lines = [HEAD]
    for name, runs in results.items():
        _, flags, value, goal = GOALS[name]
        values = [run["value"] for run in runs]
        columns = [spread([run[key] for run in runs]) for key in ("games", "steps", "seconds", "wall_seconds")]
        cells = [
            name,
            " ".join(flags),
            value.__doc__.rstrip("."),
            f"≥ {goal:g}" if goal else "",
            listed(values),
            *columns,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    run = runs[-1]
    machine = f"{run['machine']['processor']}, {run['machine']['cores']} cores"
    versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
    return "\n".join([*lines, "", f"Machine: {machine}. Versions: {versions}.", ""])


def listed(values):
    return ", ".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in values)


def spread(values):
    low, middle, high = (
        f"{f(values):,.4g}" if f(values) < 1000 else f"{f(values):,.0f}" for f in (min, statistics.median, max)
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def run_all(*again):
    """Run what is missing or named; exit code 1 if a goal was missed."""
    path = RESULTS / "five_seeds.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if unknown := sorted({*again} - {*GOALS}):
        sys.exit(f"no such run: {'; '.join(unknown)}. There are: {'; '.join(GOALS)}")
    for name in again:
        results.pop(name, None)
    for name in GOALS:
        for seed in range(len(results.get(name, [])), SEEDS):
            result = measure(name, seed)
            results.setdefault(name, []).append(result)
            write_text(path, json.dumps(results, indent=1) + "\n")
            print(f"{name}, seed {seed}: {result['value']:.4f} in {result['seconds']:.1f} s", flush=True)
    results = {name: results[name] for name in GOALS}
    write_text(path, json.dumps(results, indent=1) + "\n")
    write_text(RESULTS / "five_seeds.md", table(results))
    missed = [name for name, runs in results.items() if min(run["value"] for run in runs) < GOALS[name][3]]
    if missed:
        sys.exit(f"goal missed: {', '.join(missed)}")


if __name__ == "__main__":
    run_all(*sys.argv[1:])  # not by Fire, which takes a name with a comma for two
