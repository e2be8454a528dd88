"""How far the critic of TD3 is above what is true while it learns, with twins and without, and that of DDPG.

    noise       the probe `NoiseVector`, where every policy is worth 0: the estimate is the mean q of the greedy actions
                for 1,000 observations
    pendulum    Pendulum-v1: the estimate is that mean over the states of 20 greedy games, the truth the discounted
                return that followed each of them. Games go on for twice the time limit, and only the states of their
                first half count, so that none of the returns is cut.

q is that of the first critic, which the actor climbs, so that one network is compared with one. Each run is one of the
recipes with its defaults, looked at while it learns.

Writes overestimation_<world>.csv and .png into book/results/td3_pendulum/; refuses a tree with changes that no commit
holds.

    python benchmarks/overestimation_td3.py noise [--seeds=10]
    python benchmarks/overestimation_td3.py pendulum [--seeds=10]
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
from overestimation import draw
from results import clean_tree

from common.evaluation import compiled
from common.files import write_text
from common.machine import commit, processor
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


def first_q(critic, obs, action):
    """q of the first critic, [B]; that of DDPG has no other."""
    return np.reshape(compiled(critic)(obs, action)[0], (len(obs), -1))[:, 0]


def judge_noise(model, critic, count=1000):
    """Mean estimate, and the truth, which is 0."""
    rng = np.random.default_rng(1)
    part = rng.integers(10, size=count) / 10  # of a game of 10 steps
    obs = np.c_[rng.uniform(-1, 1, (count, 2)), part].astype(np.float32)
    return float(first_q(critic, obs, compiled(model)(obs)[0]).mean()), 0.0


def judge_pendulum(model, critic, games=20, horizon=200):
    """Mean estimate, and mean discounted return, over the states before `horizon` of greedy games twice as long."""
    envs = gym.make_vec("Pendulum-v1", num_envs=games, max_episode_steps=2 * horizon)
    obs, _ = envs.reset(seed=1)
    q, reward = [], []
    for _ in range(2 * horizon):
        action = compiled(model)(obs)[0].numpy()
        q.append(first_q(critic, obs, action))
        obs, gained, *_ = envs.step(action)
        reward.append(gained)
    envs.close()
    returns = np.zeros((2 * horizon + 1, games))
    for t in reversed(range(2 * horizon)):
        returns[t] = reward[t] + GAMMA * returns[t + 1]
    return float(np.mean(q[:horizon])), float(returns[:horizon].mean())


# settings, function of the networks, steps between two looks
WORLDS = {
    "noise": ({"env_id": "probes/NoiseVector-v0", "steps": 10_000}, judge_noise, 1_000),
    "pendulum": ({"env_id": "Pendulum-v1", "steps": 10_000}, judge_pendulum, 500),
}


def watch(recipe, settings, judge, interval, seed):
    """Train, and look at the networks whenever another `interval` steps are done: rows of step, estimate, truth."""
    rows = []

    class Watched(Run):
        def evaluate_every(self, *_):
            learned = np.isfinite(self.carry.loss)
            if learned and self.carry.step // interval > (rows[-1][0] // interval if rows else 0):
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
    twins, single = (np.array([(run[:, 1] - run[:, 2]).mean() for run in results[name]]) for name in list(results)[:2])
    lines += ["", f"With twins lower than without on {(twins < single).sum()} of {len(twins)} seeds"]
    return "\n".join(lines)


def measure(world, seeds=10):
    """Every variant on every seed of a world; table and files."""
    if world not in WORLDS:
        sys.exit(f"{world}: one of {', '.join(WORLDS)} is wanted")
    clean_tree()
    settings, judge, interval = WORLDS[world]
    begin, results = time.monotonic(), {name: [] for name in VARIANTS}
    for seed in range(seeds):
        for name, (recipe, flags) in VARIANTS.items():
            results[name].append(watch(recipe, {**settings, **flags}, judge, interval, seed))
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
    write_text(RESULTS / f"overestimation_{world}.csv", "\n".join(["variant,seed,step,estimate,truth", *rows]) + "\n")
    what = "mean q of greedy actions"
    draw(results, settings["env_id"], interval, what, RESULTS / f"overestimation_{world}.png")


if __name__ == "__main__":
    fire.Fire(measure)
