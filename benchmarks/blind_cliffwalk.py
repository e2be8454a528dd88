"""The blind cliffwalk of Schaul et al. (2016, section 3.1, appendix B.1): what the order of replay is worth.

In each of n states one action leads on and the other one ends the game. Only the last step on the right way pays: 1.
The memory holds the steps of all 2**n games, 2**(n + 1) - 2 of them, and one of these has a reward. Q-learning with a
table replays one step after another until its mean squared error is below 0.001. Compared are

    uniform         every step with the same probability
    prioritized     in proportion to (|error| + 1e-6)**alpha when the step was last drawn, 1 before that, by `SumTree`;
                    alpha is 0.6, as in the recipe, or 1
    oracle          the step that lowers the squared error most, which only somebody with the solution can know

No weights are needed. The world is not random, so the order of the steps does not change what the table converges to.

Writes blind_cliffwalk.csv and .png into book/results/prioritized_dqn_cartpole/; refuses a tree with changes that no
commit holds.

    python benchmarks/blind_cliffwalk.py [--seeds=10] [--largest=14]
"""

import sys
import time
from pathlib import Path

import fire
import numpy as np

from common.files import write_text
from common.machine import commit, processor
from common.plots import new_figure, save_figure
from common.replay import SumTree

RESULTS = Path(__file__).parent.parent / "book" / "results" / "prioritized_dqn_cartpole"
STEP_SIZE, ACCURACY, SMALLEST = 0.25, 1e-3, 1e-6
ALPHAS = {"prioritized, alpha 0.6": 0.6, "prioritized, alpha 1": 1.0}
METHODS = ("uniform", *ALPHAS, "oracle")


class Cliffwalk:
    """The world, its memory, and a table that learns from it.

    Entry 2 s of the table is the right action in state s, entry 2 s + 1 the wrong one; state n is the end, worth 0.
    """

    def __init__(self, n, rng):
        self.gamma = 1 - 1 / n
        self.entries = np.repeat(np.arange(2 * n), np.repeat(2 ** np.arange(n)[::-1], 2)).tolist()  # of each step
        self.after = [entry // 2 + 1 if entry % 2 == 0 else n for entry in range(2 * n)]
        self.reward = [float(entry == 2 * n - 2) for entry in range(2 * n)]
        self.truth = [self.gamma ** (n - 1 - entry // 2) * (entry % 2 == 0) for entry in range(2 * n)]
        self.q = [*rng.normal(0.0, 0.1, 2 * n).tolist(), 0.0, 0.0]
        self.squares = sum((q - truth) ** 2 for q, truth in zip(self.q, self.truth, strict=False))

    def learnt(self):
        return self.squares < ACCURACY * len(self.truth)

    def error(self, entry):
        """Of Q-learning, for a step with this state and action."""
        a = 2 * self.after[entry]
        return self.reward[entry] + self.gamma * max(self.q[a], self.q[a + 1]) - self.q[entry]

    def gain(self, entry):
        """By how much an update with such a step lowers the sum of squared errors."""
        off = self.q[entry] - self.truth[entry]
        return off**2 - (off + STEP_SIZE * self.error(entry)) ** 2

    def learn(self, entry):
        """One update; the error before it."""
        error, gain = self.error(entry), self.gain(entry)
        self.q[entry] += STEP_SIZE * error
        self.squares -= gain
        return error


def updates(n, method, seed):
    """How many updates it takes until the table is right."""
    rng, count = np.random.default_rng(seed), 0
    world = Cliffwalk(n, rng)
    size = len(world.entries)
    if method == "uniform":
        while not world.learnt():
            for row in rng.integers(size, size=1000).tolist():
                if world.learnt():
                    break
                world.learn(world.entries[row])
                count += 1
    elif method == "oracle":
        while not world.learnt():
            world.learn(max(range(2 * n), key=world.gain))
            count += 1
    else:
        tree = SumTree(size)
        tree.set(np.arange(size), 1.0)  # no step was drawn yet
        while not world.learnt():
            row = tree.sample(1, rng)
            tree.set(row, (abs(world.learn(world.entries[row[0]])) + SMALLEST) ** ALPHAS[method])
            count += 1
    return count


def table(results):
    """Markdown, one row for each size."""
    lines = [f"| n | steps in the memory | {' | '.join(METHODS)} |", "|---|---|" + "---|" * len(METHODS)]
    for n, counts in results.items():
        medians = " | ".join(f"{np.median(counts[method]):,.0f}" for method in METHODS)
        lines.append(f"| {n} | {2 ** (n + 1) - 2:,} | {medians} |")
    return "\n".join(lines)


def draw(results, path):
    """Medians over the size of the memory, both logarithmic; the band is from the lowest to the highest."""
    figure = new_figure(8, 5)
    axes = figure.subplots()
    sizes = [2 ** (n + 1) - 2 for n in results]
    for method, colour in zip(METHODS, ("C0", "C1", "C2", "0.4"), strict=True):
        counts = np.array([counts[method] for counts in results.values()])  # [sizes, seeds]
        axes.plot(sizes, np.median(counts, axis=1), "o-", color=colour, markersize=3, label=method)
        axes.fill_between(sizes, counts.min(axis=1), counts.max(axis=1), color=colour, alpha=0.15, linewidth=0)
    axes.plot(sizes, sizes, ":", color="0.7", label="each step once")
    axes.set(xscale="log", yscale="log", xlabel="steps in the memory", ylabel="updates until the table is right")
    axes.set_title(f"blind cliffwalk, median of {counts.shape[1]} seeds, lowest to highest")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def measure(seeds=10, largest=14):
    """Every method on every size with every seed; table, picture and figures."""
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")
    begin, results = time.monotonic(), {}
    for n in range(2, largest + 1):
        results[n] = {method: [updates(n, method, seed) for seed in range(seeds)] for method in METHODS}
        print(f"n = {n} after {time.monotonic() - begin:.0f} s", flush=True)
    print(table(results))
    print(f"commit {commit()}, {processor()}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [
        f'{n},{2 ** (n + 1) - 2},"{method}",{seed},{count}'
        for n, counts in results.items()
        for method in METHODS
        for seed, count in enumerate(counts[method])
    ]
    write_text(RESULTS / "blind_cliffwalk.csv", "\n".join(["n,steps,method,seed,updates", *rows]) + "\n")
    draw(results, RESULTS / "blind_cliffwalk.png")


if __name__ == "__main__":
    fire.Fire(measure)
