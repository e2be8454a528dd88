"""What each part of Rainbow is worth: all of them, each one left out in turn, and none, which is DQN.

Measured are the steps after which the mean of the last 20 training games reaches a goal, and the greedy score at the
end. `probe` is the image probe `PixelChoice`, best score 4, blind score 2, and takes minutes; `pong` takes hours for
each of its runs. The runs are kept in runs/rainbow_ablation/<world>/, and one that was interrupted is continued there.

Writes book/results/rainbow_atari/ablation_<world>.md, .json and .png; refuses a tree with changes that no commit holds.

    python benchmarks/rainbow_ablation.py probe [--seeds=3]
    python benchmarks/rainbow_ablation.py pong [--seeds=3]
"""

import json
import sys
from pathlib import Path

import fire
import numpy as np

from common.files import read_episodes, write_json, write_text
from common.machine import commit, processor
from common.plots import new_figure, rolling, save_figure
from recipes import rainbow_atari

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results" / "rainbow_atari"
OFF = {
    "double": False, "dueling": False, "n_step": 1, "prioritized": False, "distributional": False, "noisy": False,
}  # fmt: skip
VARIANTS = {"Rainbow": {}, **{f"without {part}": {part: off} for part, off in OFF.items()}, "DQN": OFF}
# settings, goal
WORLDS = {
    "probe": (
        {
            "env_id": "probes/PixelChoice-v0", "episodes": 320, "buffer_size": 2000, "learning_starts": 200,
            "epsilon_decay_steps": 400, "learning_rate": 3e-4, "target_interval": 20, "eval_interval": 0,
            "eval_episodes": 40, "eval_epsilon": 0.0,
        },
        3.9,
    ),
    "pong": (
        {
            "env_id": "ALE/Pong-v5", "episodes": 380, "v_max": 5.0, "train_interval": 8,
            "epsilon_decay_steps": 150_000, "eval_episodes": 20,
        },
        18,
    ),
}  # fmt: skip
GAMES = 20  # in a rolling mean


def trained(settings, folder):
    """A run in this folder from its start to its end: made, continued or, if it is there, left alone."""
    if not (folder / "evaluation.json").exists():
        rainbow_atari.train(**settings, logdir=str(folder), resume=(folder / "config.json").exists())
    return folder


def measured(folder, goal):
    """Steps until the rolling mean of the games is at the goal, None if it never is; greedy score; the mean's curve."""
    games = read_episodes(folder)
    means, _ = rolling(games["episode_return"], GAMES)
    reached = np.flatnonzero((means >= goal) & (games["episode"] >= GAMES))
    score = float(np.mean(json.loads((folder / "evaluation.json").read_text())["scores"]))
    steps = int(games["step"][reached[0]]) if len(reached) else None
    made_by = json.loads((folder / "config.json").read_text())["git_commit"]
    return {"steps": steps, "score": score, "git_commit": made_by, "curve": [games["step"], means]}


def table(results, goal):
    """Markdown, one row for each variant."""
    lines = [f"| variant | seeds that reached {goal} | steps to it | greedy score at the end |", "|---|---|---|---|"]
    for name, runs in results.items():
        steps, scores = [run["steps"] for run in runs if run["steps"]], [run["score"] for run in runs]
        spread = f"{np.median(steps):,.0f} ({min(steps):,} to {max(steps):,})" if steps else "–"
        end = f"{np.mean(scores):.2f} ({min(scores):.2f} to {max(scores):.2f})"
        lines.append(f"| {name} | {len(steps)} of {len(runs)} | {spread} | {end} |")
    return "\n".join(lines)


def draw(results, goal, path):
    """The rolling means over the steps, averaged over seeds, one line for each variant."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for i, (name, runs) in enumerate(results.items()):
        at = np.linspace(0, min(run["curve"][0][-1] for run in runs), 200)
        mean = np.mean([np.interp(at, *run["curve"]) for run in runs], axis=0)
        axes.plot(at, mean, color=f"C{i}", linewidth=3 if name in ("Rainbow", "DQN") else 1.2, label=name)
    axes.axhline(goal, color="0.7", linestyle=":")
    axes.set(xlabel="environment steps", ylabel=f"return, mean of the last {GAMES} games")
    axes.legend(loc="best", fontsize=8)
    save_figure(figure, path)


def ablate(world, seeds=3):
    """Train every variant on every seed and write the table and the picture."""
    if world not in WORLDS:
        sys.exit(f"{world}: one of {', '.join(WORLDS)} is wanted")
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")
    settings, goal = WORLDS[world]
    results = {name: [] for name in VARIANTS}
    for seed in range(seeds):
        for name, changes in VARIANTS.items():
            folder = ROOT / "runs" / "rainbow_ablation" / world / f"{name.replace(' ', '_')}_{seed}"
            results[name].append(measured(trained({**settings, **changes, "seed": seed}, folder), goal))
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = f"Made by `python benchmarks/rainbow_ablation.py {world} --seeds={seeds}` on {processor()}."
    write_text(
        RESULTS / f"ablation_{world}.md", f"{table(results, goal)}\n\n{about} Steps: median (lowest to highest).\n"
    )
    kept = ("steps", "score", "git_commit")
    numbers = {name: [{key: run[key] for key in kept} for run in runs] for name, runs in results.items()}
    write_json(RESULTS / f"ablation_{world}.json", {"settings": settings, "goal": goal, "runs": numbers})
    draw(results, goal, RESULTS / f"ablation_{world}.png")
    print(table(results, goal))


if __name__ == "__main__":
    fire.Fire(ablate)
