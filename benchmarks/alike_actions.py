"""How many steps a dueling network saves where most actions are alike, by the number of actions.

The world is the probe `AlikeActions`: what is observed decides the reward, and action 0 brings a little more than all
the others. As in the paper (Wang et al. 2016, section 4.1) only the values are judged: the actions are random, the same
for both networks, so neither profits from its own better games. Every 64 steps 32 updates follow, made by the recipes'
own `make_update`. Counted are the steps until the action values are right to 0.1 (root of the mean squared error over
1,000 observations and all actions). The dueling network has one unit more in its last layer.

Writes alike_actions.csv and .png into book/results/dueling_dqn_cartpole/; refuses a tree with changes that no commit
holds.

    python benchmarks/alike_actions.py [--seeds=10]
    python benchmarks/alike_actions.py --seeds=3 --length=3 --actions=[40]     # longer games; writes nothing
"""

import sys
import time
from pathlib import Path

import fire
import numpy as np

from common.files import write_text
from common.lazy import keras
from common.machine import commit, processor
from common.plots import new_figure, save_figure
from common.replay import ReplayBuffer
from envs.probes import AlikeActions
from recipes import dqn_cartpole, dueling_dqn_cartpole

RESULTS = Path(__file__).parent.parent / "book" / "results" / "dueling_dqn_cartpole"
NETWORKS = {"DQN": dqn_cartpole, "Dueling DQN": dueling_dqn_cartpole}
ACTIONS = (5, 10, 20, 40)
ACCURACY = 0.1
SETTINGS = {"hidden_units": 256, "learning_rate": 2.3e-3, "gamma": 0.98}  # the recipes' own
INTERVAL, MINIBATCHES, BATCH = (
    64,
    32,
    64,
)  # steps and updates of a round, a quarter of the recipes' own; rows of an update
ROUNDS = 200  # at most


def experience(env, steps, rng):
    """Random actions: arrays obs, action, reward, next_obs, terminated of so many steps; the games begin anew."""
    rows, (obs, _) = [], env.reset()
    for action in rng.integers(env.action_space.n, size=steps):
        next_obs, reward, terminated, _, _ = env.step(action)
        rows.append((obs, action, reward, next_obs, terminated))
        obs = env.reset()[0] if terminated else next_obs
    return [np.array(column) for column in zip(*rows, strict=True)]


class Learner:
    """A network of one recipe, its copy and its update, compiled once and begun anew with each seed."""

    def __init__(self, recipe, env, hidden_units, learning_rate, gamma):
        self.env, self.gamma = env, gamma
        self.build = lambda: recipe.build_q_network(
            env.observation_space.shape[0], int(env.action_space.n), hidden_units
        )
        self.model, self.target = self.build(), self.build()
        optimizer = keras.optimizers.Adam(learning_rate)
        self.update = recipe.make_update(self.model, self.target, optimizer, gamma)
        self.fresh = [(variable, variable.numpy()) for variable in optimizer.variables]

    def errors(self, seed, rounds=ROUNDS, accuracy=ACCURACY):
        """Of the action values after each round, until they are right."""
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.build().get_weights())
        self.target.set_weights(self.model.get_weights())
        for variable, value in self.fresh:
            variable.assign(value)
        rng, errors = np.random.default_rng(seed), []
        self.env.reset(seed=seed)
        asked = experience(self.env, 1000, rng)[0]  # other observations than those that are learnt from
        truth = self.env.q(asked, self.gamma)
        memory = ReplayBuffer(rounds * INTERVAL, self.env.observation_space, self.env.action_space)
        while len(errors) < rounds and (not errors or errors[-1] > accuracy):
            memory.add(*experience(self.env, INTERVAL, rng))
            self.update(*memory.sample((MINIBATCHES, BATCH), rng))
            self.target.set_weights(self.model.get_weights())
            errors.append(np.sqrt(np.mean((np.array(self.model(asked)) - truth) ** 2)))
        return errors


def table(results):
    """Markdown, one row for each number of actions."""
    lines = ["| actions | DQN | Dueling DQN | seeds on which Dueling DQN needs fewer steps |", "|---|---|---|---|"]
    for count, steps in results.items():
        cells = [f"{np.median(s):,.0f} ({min(s):,} to {max(s):,})" for s in steps.values()]
        fewer = np.sum(np.array(steps["Dueling DQN"]) < np.array(steps["DQN"]))
        lines.append(f"| {count} | {' | '.join(cells)} | {fewer} of {len(steps['DQN'])} |")
    return "\n".join(lines)


def draw(results, path):
    """The steps over the number of actions."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    for name in NETWORKS:
        steps = np.array([row[name] for row in results.values()])  # [numbers, seeds]
        axes.plot(list(results), np.median(steps, axis=1), "o-", label=name)
        axes.fill_between(list(results), steps.min(axis=1), steps.max(axis=1), alpha=0.15, linewidth=0)
    axes.set(xscale="log", xlabel="actions", ylabel=f"steps until the values are right to {ACCURACY}", ylim=(0, None))
    axes.set_xticks(list(results), labels=list(results))
    axes.minorticks_off()
    axes.set_title(f"all actions but one are alike, median of {steps.shape[1]} seeds, lowest to highest")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def measure(seeds=10, length=1, actions=ACTIONS):
    """Both networks with each number of actions; the table and, with the defaults, the files."""
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")
    begin, results, rows = time.monotonic(), {}, []
    for count in actions:
        results[count] = {}
        for name, recipe in NETWORKS.items():
            learner = Learner(recipe, AlikeActions(count, length), **SETTINGS)
            runs = [learner.errors(seed) for seed in range(seeds)]
            results[count][name] = [INTERVAL * len(errors) for errors in runs]
            rows += [f"{count},{name},{seed},{INTERVAL * len(e)},{e[-1]:.4f}" for seed, e in enumerate(runs)]
            ends = f"errors at the end {min(e[-1] for e in runs):.3f} to {max(e[-1] for e in runs):.3f}"
            print(f"{count} actions, {name}: {ends}; {time.monotonic() - begin:.0f} s", flush=True)
    print(table(results))
    print(f"games of {length} steps, commit {commit()}, {processor()}")
    if (length, actions) == (1, ACTIONS):
        RESULTS.mkdir(parents=True, exist_ok=True)
        write_text(RESULTS / "alike_actions.csv", "\n".join(["actions,network,seed,steps,error", *rows]) + "\n")
        draw(results, RESULTS / "alike_actions.png")


if __name__ == "__main__":
    fire.Fire(measure)
