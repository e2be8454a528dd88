"""Example 6.6 of Sutton and Barto: what Q-learning and SARSA earn per game while they learn, as the mean of many runs.

    python benchmarks/cliffwalking.py online     # 500 runs of each: picture and table in book/results/cliffwalking/
    python benchmarks/cliffwalking.py variants   # 50 runs of each: expected SARSA, traces, other settings

Every run is one of the recipes with its defaults, but for what is named, by the recipes' own `learn_game`.
"""

import time
from pathlib import Path

import fire
import numpy as np

from common.files import write_text
from common.plots import new_figure, save_figure
from envs.checked import make
from envs.tabular import greedy_path
from recipes import q_learning_cliffwalking, sarsa_cliffwalking

RESULTS = Path(__file__).parent.parent / "book" / "results" / "cliffwalking"
GAMES, MAX_STEPS, START = 500, 1000, 36
Q_LEARNING = {"epsilon": 0.1, "step_size": 0.5, "gamma": 1.0}
SARSA = {**Q_LEARNING, "expected": False, "trace_decay": 0.0}
VARIANTS = {
    "Q-learning": Q_LEARNING,
    "Q-learning, step size 0.1": {**Q_LEARNING, "step_size": 0.1},
    "SARSA": SARSA,
    "SARSA, step size 0.1": {**SARSA, "step_size": 0.1},
    "SARSA, epsilon 0.01": {**SARSA, "epsilon": 0.01},
    "expected SARSA": {**SARSA, "expected": True},
    "expected SARSA, step size 1": {**SARSA, "expected": True, "step_size": 1.0},
    "SARSA, lambda 0.5": {**SARSA, "trace_decay": 0.5},
    "SARSA, lambda 0.9": {**SARSA, "trace_decay": 0.9},
}


def measure(settings, runs):
    """Returns of every game, [runs, GAMES], and of the greedy policy at the end, [runs]; minus infinity in a circle."""
    recipe = sarsa_cliffwalking if "expected" in settings else q_learning_cliffwalking
    env = make("CliffWalking-v1", "numbers", {"max_episode_steps": MAX_STEPS})
    returns, greedy = np.zeros((runs, GAMES)), np.zeros(runs)
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        env.unwrapped.np_random = rng
        Q = np.zeros((env.observation_space.n, env.action_space.n))
        for game in range(GAMES):
            returns[seed, game], _ = recipe.learn_game(env, Q, rng=rng, **settings)
        path = greedy_path(env.unwrapped.P, START, Q)
        greedy[seed] = 1 - len(path) if path[-1] == 47 else -np.inf
    return returns, greedy


def row(name, returns, greedy):
    """One row of the table in Markdown."""
    first, last = returns[:, :100].mean(), returns[:, -100:].mean(axis=1)
    error = last.std() / len(last) ** 0.5
    ends = greedy[np.isfinite(greedy)]
    common, count = np.unique(ends, return_counts=True) if len(ends) else (np.zeros(0), np.zeros(0, int))
    walks = ", ".join(f"{value:g} ({number})" for value, number in zip(common[::-1], count[::-1], strict=True))
    return f"| {name} | {first:.1f} | {last.mean():.1f} ± {error:.1f} | {walks} | {len(greedy) - len(ends)} |"


COLUMNS = "| | games 1 to 100 | games 401 to 500 | returns of the greedy policies (runs) | runs in a circle |"
HEAD = f"{COLUMNS}\n|---|---|---|---|---|"


def online(runs=500):
    """The picture of the example and its table, online_returns.png and online_returns.csv."""
    means, begin = {}, time.monotonic()
    print(HEAD)
    for name in ("Q-learning", "SARSA"):
        returns, greedy = measure(VARIANTS[name], runs)
        means[name] = returns.mean(axis=0)
        print(row(name, returns, greedy), flush=True)
    print(f"{runs} runs of each in {time.monotonic() - begin:.0f} s")
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for name, mean in means.items():
        axes.plot(np.arange(1, GAMES + 1), mean, label=name, linewidth=1)
    axes.set(xlabel="game", ylabel=f"return, mean of {runs} runs", ylim=(-100, 0), title="Cliff walking, epsilon 0.1")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    RESULTS.mkdir(parents=True, exist_ok=True)
    save_figure(figure, RESULTS / "online_returns.png")
    lines = [f"{game},{a:.3f},{b:.3f}" for game, (a, b) in enumerate(zip(*means.values(), strict=True), 1)]
    write_text(RESULTS / "online_returns.csv", "\n".join(["game,q_learning,sarsa", *lines]) + "\n")


def variants(runs=50):
    """What other settings do."""
    print(HEAD)
    for name, settings in VARIANTS.items():
        print(row(name, *measure(settings, runs)), flush=True)


if __name__ == "__main__":
    fire.Fire({"online": online, "variants": variants})
