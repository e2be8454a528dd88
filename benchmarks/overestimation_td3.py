"""How far the critic of TD3 is above what is true while it learns, with twins and without, and that of DDPG.

Pendulum-v1. The estimate is the first critic's q of the greedy actions, the mean over the states of 20 greedy games;
the truth is the discounted return that followed each of them. The first critic is the one that the actor climbs, so
that one network is compared with one. Games go on for twice the time limit, and only the states of their first half
count, so that none of the returns is cut.

Writes overestimation.csv and overestimation.png into book/results/td3_pendulum/; refuses a tree with changes that no
commit holds.

    python benchmarks/overestimation_td3.py [--seeds=10] [--steps=10000]
"""

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import fire
import gymnasium as gym
import numpy as np

from common.evaluation import compiled
from common.files import write_text
from common.machine import commit, processor
from common.plots import new_figure, save_figure
from common.run import Run
from recipes import ddpg_pendulum, td3_pendulum

RESULTS = Path(__file__).parent.parent / "book" / "results" / "td3_pendulum"
VARIANTS = {
    "TD3": (td3_pendulum, {}),
    "TD3 without twins": (td3_pendulum, {"twins": False}),
    "DDPG": (ddpg_pendulum, {}),
}
GAMMA = 0.98
SETTINGS = {"gamma": GAMMA, "eval_interval": 0, "eval_episodes": 0, "save_interval": 1_000_000}
INTERVAL = 500  # steps between two looks


def judge(model, critic, games=20, horizon=200):
    """Mean estimate, and mean discounted return, over the states before `horizon` of greedy games twice as long."""
    envs = gym.make_vec("Pendulum-v1", num_envs=games, max_episode_steps=2 * horizon)
    obs, _ = envs.reset(seed=1)
    q, reward = [], []
    for _ in range(2 * horizon):
        action = compiled(model)(obs)[0].numpy()
        q.append(np.reshape(compiled(critic)(obs, action)[0], (games, -1))[:, 0])
        obs, gained, *_ = envs.step(action)
        reward.append(gained)
    envs.close()
    returns = np.zeros((2 * horizon + 1, games))
    for t in reversed(range(2 * horizon)):
        returns[t] = reward[t] + GAMMA * returns[t + 1]
    return float(np.mean(q[:horizon])), float(returns[:horizon].mean())


def watch(recipe, settings, seed):
    """Train, and look at the networks whenever another `INTERVAL` steps are done: rows of step, estimate, truth."""
    rows = []

    class Watched(Run):
        def evaluate_every(self, *_):
            learned = np.isfinite(self.carry.loss)
            if learned and self.carry.step // INTERVAL > (rows[-1][0] // INTERVAL if rows else 0):
                rows.append((self.carry.step, *judge(self.carry.model, self.carry.critic)))

    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(recipe, "Run", Watched), quiet[0], quiet[1]:
        recipe.train(**SETTINGS, **settings, seed=seed, logdir=f"{folder}/run")
    return np.array(rows)


def table(results):
    """Markdown: the excess of the estimate over the truth, as the mean of a whole run and of its second half."""
    lines = ["| | whole run | seeds above 0 | second half | seeds above 0 |", "|---|---|---|---|---|"]
    for name, runs in results.items():
        excess = np.array([run[:, 1] - run[:, 2] for run in runs])  # [seeds, looks]
        means = excess.mean(axis=1), excess[:, excess.shape[1] // 2 :].mean(axis=1)
        cells = [f"{np.median(e):.2f} ({e.min():.2f} to {e.max():.2f}) | {(e > 0).sum()} of {len(e)}" for e in means]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results, path):
    """Above the estimates and the true values, below the excess: medians over the seeds, the range of the excess."""
    figure = new_figure(8, 8)
    values, excess = figure.subplots(2, 1, sharex=True)
    for number, (name, runs) in enumerate(results.items()):
        runs = np.array([run[: min(map(len, runs))] for run in runs])  # [seeds, looks, 3]
        steps, colour = runs[0, :, 0], f"C{number}"
        values.plot(steps, np.median(runs[..., 1], axis=0), color=colour, label=f"{name}, estimate")
        values.plot(steps, np.median(runs[..., 2], axis=0), color=colour, linestyle="--", label=f"{name}, true")
        difference = runs[..., 1] - runs[..., 2]
        excess.plot(steps, np.median(difference, axis=0), color=colour, label=name)
        excess.fill_between(steps, difference.min(axis=0), difference.max(axis=0), alpha=0.15, linewidth=0)
    excess.axhline(0, color="k", linestyle="--", linewidth=1)
    values.set(ylabel="value of the greedy actions", title=f"Pendulum-v1, median of {len(runs)} seeds")
    excess.set(xlabel="environment steps", ylabel="estimate minus true value", title="lowest to highest seed shaded")
    for axes in (values, excess):
        axes.legend(loc="best")
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def measure(seeds=10, steps=10_000):
    """Every variant on every seed; table and files."""
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")
    begin, results = time.monotonic(), {name: [] for name in VARIANTS}
    for seed in range(seeds):
        for name, (recipe, flags) in VARIANTS.items():
            results[name].append(watch(recipe, {**flags, "steps": steps}, seed))
            excess = results[name][-1][:, 1] - results[name][-1][:, 2]
            print(f"seed {seed}, {name}: {np.round(excess, 1).tolist()}, {time.monotonic() - begin:.0f} s", flush=True)
    print(table(results))
    print(f"commit {commit()}, {processor()}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{name},{seed},{step:.0f},{estimate:.4f},{truth:.4f}"
        for name, runs in results.items()
        for seed, run in enumerate(runs)
        for step, estimate, truth in run
    ]
    write_text(RESULTS / "overestimation.csv", "\n".join(["variant,seed,step,estimate,truth", *rows]) + "\n")
    draw(results, RESULTS / "overestimation.png")


if __name__ == "__main__":
    fire.Fire(measure)
