"""How far the values of DQN and Double DQN are above what is true, while they learn.

    noise       the probe `OnlyNoise` with 10 actions and games of 10 steps, where every policy is worth 0: the estimate
                is the mean over 1,000 observations of the highest action value
    cartpole    CartPole-v1: the estimate is that mean over the states of 20 greedy games, the truth the discounted
                return that followed each of them; games go on beyond the time limit, so that none is cut

Each run is one of the recipes, looked at while it learns, with one reward in a target as in the paper, gamma 0.98, and
otherwise its defaults.

Writes overestimation_<world>.csv and .png into book/results/double_dqn_cartpole/; refuses a tree with changes that no
commit holds.

    python benchmarks/overestimation.py noise [--seeds=10]
    python benchmarks/overestimation.py cartpole [--seeds=10]
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
from results import clean_tree

from common.evaluation import compiled
from common.files import write_text
from common.machine import commit, processor
from common.plots import new_figure, save_figure
from common.run import Run
from recipes import double_dqn_cartpole, dqn_cartpole

RESULTS = Path(__file__).parent.parent / "book" / "results" / "double_dqn_cartpole"
RECIPES = {"DQN": dqn_cartpole, "Double DQN": double_dqn_cartpole}
GAMMA = 0.98
SETTINGS = {"gamma": GAMMA, "n_step": 1, "eval_interval": 0, "eval_episodes": 0, "save_interval": 1_000_000}


def judge_noise(model, count=1000):
    """Mean estimate, and the truth, which is 0."""
    rng = np.random.default_rng(1)
    part = rng.integers(10, size=count) / 10  # of a game of 10 steps
    obs = np.c_[rng.uniform(-1, 1, (count, 2)), part].astype(np.float32)
    return float(np.array(model(obs)).max(-1).mean()), 0.0


def judge_cartpole(model, games=20, horizon=500):
    """Mean estimate, and mean discounted return, over the states before `horizon` of greedy games twice as long."""
    envs, forward = gym.make_vec("CartPole-v1", num_envs=games, max_episode_steps=2 * horizon), compiled(model)
    obs, _ = envs.reset(seed=1)
    q, reward, playing = [], [], [np.ones(games, bool)]
    while playing[-1].any():
        outputs = forward(obs.astype(np.float32))[0].numpy()
        obs, _, terminated, truncated, _ = envs.step(outputs.argmax(-1))
        q.append(outputs.max(-1))
        reward.append(playing[-1].astype(float))  # 1 for each step of a game
        playing.append(playing[-1] & ~(terminated | truncated))
    returns = np.zeros((len(reward) + 1, games))
    for t in reversed(range(len(reward))):
        returns[t] = reward[t] + GAMMA * returns[t + 1]
    seen = np.array(playing[:-1])[:horizon]
    return float(np.array(q)[:horizon][seen].mean()), float(returns[:-1][:horizon][seen].mean())


# settings, function of the network, steps between two looks
WORLDS = {
    "noise": (
        {"env_id": "probes/OnlyNoise-v0", "env_kwargs": {"num_actions": 10, "length": 10}, "steps": 10_000},
        judge_noise,
        1_000,
    ),
    "cartpole": ({"env_id": "CartPole-v1", "steps": 20_000}, judge_cartpole, 2_500),
}


def watch(recipe, settings, judge, interval, seed):
    """Train, and look at the network whenever another `interval` steps are done: rows of step, estimate, truth."""
    rows = []

    class Watched(Run):
        def evaluate_every(self, *_):
            if self.carry.updates and self.carry.step // interval > (rows[-1][0] // interval if rows else 0):
                rows.append((self.carry.step, *judge(self.carry.model)))

    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(recipe, "Run", Watched), quiet[0], quiet[1]:
        recipe.train(**SETTINGS, **settings, seed=seed, logdir=f"{folder}/run")
    return np.array(rows)


def table(results):
    """Markdown: the excess of the estimate over the truth, as the mean of a whole run and of its second half."""
    lines = ["| | whole run | seeds above 0 | second half | seeds above 0 |", "|---|---|---|---|---|"]
    excess = {name: np.array([run[:, 1] - run[:, 2] for run in runs]) for name, runs in results.items()}  # [seeds, K]
    halves = {name: (e.mean(axis=1), e[:, e.shape[1] // 2 :].mean(axis=1)) for name, e in excess.items()}
    for name, means in halves.items():
        cells = [f"{np.median(e):.2f} ({e.min():.2f} to {e.max():.2f}) | {(e > 0).sum()} of {len(e)}" for e in means]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    below = [(double < dqn).sum() for double, dqn in zip(halves["Double DQN"], halves["DQN"], strict=True)]
    seeds = len(results["DQN"])
    lines += ["", f"Double DQN below DQN on {below[0]} of {seeds} seeds, in the second half on {below[1]}"]
    return "\n".join(lines)


def draw(results, env_id, interval, estimate, path):
    """The excess of an estimate, which is said in words, over the steps; `interval` of them lie between two looks."""
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for name, runs in results.items():
        steps = runs[0][:, 0] // interval * interval  # [looks]
        excess = np.array([run[:, 1] - run[:, 2] for run in runs])  # [seeds, looks]
        axes.plot(steps, np.median(excess, axis=0), "o-", label=name)
        axes.fill_between(steps, excess.min(axis=0), excess.max(axis=0), alpha=0.15, linewidth=0)
    axes.axhline(0, color="k", linestyle="--", linewidth=1, label="truth")
    axes.set(xlabel="environment steps", ylabel=f"{estimate}, minus the true value")
    axes.set_title(f"{env_id}, median of {len(runs)} seeds, lowest to highest")
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def measure(world, seeds=10):
    """Both recipes on every seed of a world; table and files."""
    if world not in WORLDS:
        sys.exit(f"{world}: one of {', '.join(WORLDS)} is wanted")
    clean_tree()
    begin, results = time.monotonic(), {name: [] for name in RECIPES}
    for seed in range(seeds):
        for name, recipe in RECIPES.items():
            results[name].append(watch(recipe, *WORLDS[world], seed))
            excess = results[name][-1][:, 1] - results[name][-1][:, 2]
            print(f"seed {seed}, {name}: {np.round(excess, 2).tolist()}, {time.monotonic() - begin:.0f} s", flush=True)
    print(table(results))
    print(f"commit {commit()}, {processor()}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{name},{seed},{step:.0f},{estimate:.4f},{truth:.4f}"
        for name, runs in results.items()
        for seed, run in enumerate(runs)
        for step, estimate, truth in run
    ]
    write_text(RESULTS / f"overestimation_{world}.csv", "\n".join(["recipe,seed,step,estimate,truth", *rows]) + "\n")
    settings, _, interval = WORLDS[world]
    draw(results, settings["env_id"], interval, "mean of max q", RESULTS / f"overestimation_{world}.png")


if __name__ == "__main__":
    fire.Fire(measure)
