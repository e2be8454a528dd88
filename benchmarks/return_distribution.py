"""What C51 and QR-DQN expect during one game: the distribution of the return at each step, and what came.

For each step the picture shows the predicted probability of each return, in colours; its mean, q; and the discounted
sum of the rewards that did follow. Some of the actions are random (`--epsilon`), the others greedy.

    python benchmarks/return_distribution.py                        # trains both
    python benchmarks/return_distribution.py --run=runs/c51_cartpole/<date-time> [--seed=1] [--epsilon=0.3]
    python benchmarks/return_distribution.py --model=best.keras --gamma=0.98

The first form writes return_distribution.png and .csv into book/results/ of both recipes, and refuses a tree with
changes that no commit holds. The others write them into the run's folder, or beside the model.
"""

import sys
import tempfile
from pathlib import Path

import fire
import numpy as np

from common.cli import UsageError
from common.evaluation import make_greedy
from common.files import read_json, write_text
from common.machine import commit, processor
from common.plots import new_figure, save_figure
from common.saved import choose_world, load_model, settings_of
from envs.remake import remake
from recipes import c51_cartpole, qr_dqn_cartpole

ROOT = Path(__file__).parent.parent
SEED = 0  # of the networks in the book
GAME = {"seed": 1, "epsilon": 0.3}  # in the book: of 10 actions 3 are random, so that even good players come to fall


def kind(model):
    """What the second output of a network is: `logits` of atoms or `quantiles`; UsageError if it is neither."""
    (name,) = {"logits", "quantiles"} & {layer.name for layer in model.layers} or {""}
    if not name:
        raise UsageError("the model predicts no distribution: one of c51_cartpole or qr_dqn_cartpole is wanted")
    return name


def distribution(model, obs, edges):
    """Probability of the returns between edges under the greedy action, [T, D] → [T, len(edges) - 1], and q [T].

    Returns beyond the edges count as the outermost.
    """
    q, parts = (np.array(output) for output in model(obs))  # [T, A], [T, A, K]
    rows, best = np.arange(len(obs)), q.argmax(-1)
    parts = parts[rows, best]  # [T, K]
    weights = model.get_layer("mean").get_weights()[0][:, 0]  # [K], the atoms of C51 or equal shares
    if kind(model) == "logits":
        mass = np.exp(parts - parts.max(-1, keepdims=True))
        mass, values = mass / mass.sum(-1, keepdims=True), np.broadcast_to(weights, parts.shape)
    else:
        mass, values = np.broadcast_to(weights, parts.shape), parts
    column = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    share = np.zeros((len(obs), len(edges) - 1))
    np.add.at(share, (rows[:, None], column), mass)
    return share, q.max(-1)


def play(envs, act, seed):
    """One game: observations [T, D], rewards [T], and whether it was cut by the time limit."""
    obs, _ = envs.reset(seed=seed)
    seen, rewards, over, truncated = [], [], False, [False]
    while not over:
        seen.append(obs[0])
        obs, reward, terminated, truncated, _ = envs.step(act(obs))
        rewards.append(float(reward[0]))
        over = terminated[0] or truncated[0]
    return np.array(seen), np.array(rewards), bool(truncated[0])


def returns_to_go(rewards, gamma, bootstrap=0.0):
    """Discounted sums of the rewards from each step on, [T]; after the last one follows `bootstrap`."""
    returns = np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        returns[t] = bootstrap = rewards[t] + gamma * bootstrap
    return returns


def draw(path, share, edges, q, returns, title, last=50):
    """The shares in colours over time, with the two lines: the whole game and its last steps."""
    figure = new_figure(11, 4.5)
    both = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    extent = (-0.5, len(q) - 0.5, edges[0], edges[-1])
    for axes, start in zip(both, (0, max(len(q) - last, 0)), strict=True):
        drawn = axes.imshow(
            np.maximum(share.T, 1e-3), origin="lower", aspect="auto", extent=extent, cmap="Blues", norm="log",
            vmin=1e-3, vmax=1,
        )  # fmt: skip
        axes.plot(q, color="C1", linewidth=1.5, label="mean of the prediction, q")
        axes.plot(returns, color="k", linewidth=1.5, linestyle="--", label="discounted return that followed")
        axes.set(xlabel="step of the game", xlim=(start - 0.5, len(q) - 0.5), ylim=(edges[0], edges[-1]))
    both[0].set(ylabel="return", title=title)
    both[1].set(title=f"its last {min(last, len(q))} steps")
    both[0].legend(loc="lower left")
    figure.colorbar(drawn, ax=both[1], label="predicted probability", extend="min")
    save_figure(figure, path)


def show(path, folder, gamma, env_id="", env_kwargs=None, seed=0, epsilon=0.0):
    """Play one game with the model at `path`, and write picture and table into `folder`."""
    world = choose_world(settings_of(path), env_id, env_kwargs or {})
    envs, model = remake(*world, 1), load_model(path)
    obs, rewards, cut = play(envs, make_greedy(model, epsilon, seed), seed)
    envs.close()
    edges = np.arange(-0.5, 1 / (1 - gamma) + 3)  # a little above the highest possible return
    share, q = distribution(model, obs, edges)
    returns = returns_to_go(rewards, gamma, q[-1] if cut else 0.0)  # what a cut game would still bring is predicted
    low, high = (np.array([edges[np.searchsorted(np.cumsum(s), p)] + 0.5 for s in share]) for p in (0.05, 0.95))
    how = "cut by the time limit" if cut else "ends with a fall"
    title = "C51" if kind(model) == "logits" else "QR-DQN"
    draw(folder / "return_distribution.png", share, edges, q, returns, f"{title}: game of seed {seed}, {how}")
    lines = [",".join(f"{x:.3f}" for x in row) for row in zip(q, returns, low, high, strict=True)]
    table = [f"{t},{line}" for t, line in enumerate(lines)]
    write_text(folder / "return_distribution.csv", "\n".join(["step,q,return,low_5,high_95", *table]) + "\n")
    print(f"{title}: {len(q)} steps, {how}; {folder / 'return_distribution.png'}")
    for t in range((len(q) - 1) % 10, len(q), 10):
        print(f"  step {t}: q {q[t]:.1f}, 5 % {low[t]:g}, 95 % {high[t]:g}, return {returns[t]:.1f}")


def measure(run="", model="", env_id="", env_kwargs=None, gamma=0.98, seed=GAME["seed"], epsilon=GAME["epsilon"]):
    """One model that is named, or both of the book."""
    if run or model:
        path = Path(run) / "model.keras" if run else Path(model)
        if run:
            gamma = read_json(Path(run) / "config.json")["arguments"]["gamma"]
        show(path, path.parent, gamma, env_id, env_kwargs, seed, epsilon)
        return
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")
    for recipe in (c51_cartpole, qr_dqn_cartpole):
        name = recipe.__name__.split(".")[-1]
        results = ROOT / "book" / "results" / name
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            run = recipe.train(seed=SEED, eval_interval=0, logdir=f"{folder}/run")
            show(run / "model.keras", results, gamma, seed=seed, epsilon=epsilon)
    print(f"commit {commit()}, {processor()}")


if __name__ == "__main__":
    fire.Fire(measure)
