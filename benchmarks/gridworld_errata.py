"""What the repairs of Neural Fitted Q and of DQN on grids are worth: how many goals the greedy policy walks to.

One line per variant and task: goals reached by a shortest way and mean return of the greedy games, mean and range over
the seeds. Simple and Obstacle have one goal each, RandomGoal has 49; the best return is 10.

    python benchmarks/gridworld_errata.py [--seeds=3] [--only=dqn]
"""

import contextlib
import io
import json
import tempfile
from unittest import mock

import fire
import numpy as np

from common.lazy import keras, tf
from recipes import dqn_gridworld, nfq_gridworld


def broadcast(y, q):
    """The text's loss: (B, 1) against (B,) becomes (B, B)."""
    return tf.reduce_mean((y - q[:, None]) ** 2)


def dense(scaled, initializer):
    """`build_q_network` with the inputs scaled or not, and other initial weights."""

    def build(obs_shape, num_actions):
        obs = keras.Input(obs_shape, dtype="float32")
        x = keras.layers.Rescaling(1 / 5, offset=-1)(obs) if scaled else obs
        x = keras.layers.Dense(50, activation="relu", kernel_initializer=initializer)(x)
        x = keras.layers.Dense(50, activation="relu", kernel_initializer=initializer)(x)
        return keras.Model(obs, keras.layers.Dense(num_actions)(x))

    return build


def own_values(make_update):
    """DQN without its target network: the network's own values in the target."""
    return lambda model, target_model, optimizer, gamma: make_update(model, model, optimizer, gamma)


ONE_GOAL, ALL = ("Simple", "Obstacle"), ("Simple", "Obstacle", "RandomGoal")
CONSTANT = {"learning_rate_half_life": 10**9}
TEXTS = {
    **CONSTANT, "num_envs": 1, "episodes": 500, "minibatches": 1, "batch_size": 10, "learning_starts": 10,
    "buffer_size": 100_000,
}  # fmt: skip
NFQ_TEXTS, DQN_TEXTS = {**TEXTS, "learning_rate": 1e-3}, {**TEXTS, "learning_rate": 5e-4, "epsilon": 0.25}
# name → recipe, arguments, what is put in the place of its functions, tasks
VARIANTS = {
    "nfq, as the recipe": (nfq_gridworld, {}, {}, ALL),
    "nfq, the text's loss": (nfq_gridworld, {}, {"squared_error": broadcast}, ALL),
    "nfq, inputs not scaled": (nfq_gridworld, {}, {"build_q_network": dense(False, "he_uniform")}, ALL),
    "nfq, Glorot's weights": (nfq_gridworld, {}, {"build_q_network": dense(True, "glorot_uniform")}, ALL),
    "nfq, constant learning rate": (nfq_gridworld, CONSTANT, {}, ALL),
    "nfq, no random start": (nfq_gridworld, {"learning_starts": 64}, {}, ALL),
    "nfq, the text's settings": (nfq_gridworld, NFQ_TEXTS, {}, ONE_GOAL),
    "nfq, the text's settings and loss": (nfq_gridworld, NFQ_TEXTS, {"squared_error": broadcast}, ONE_GOAL),
    "dqn, as the recipe": (dqn_gridworld, {}, {}, ALL),
    "dqn, the text's loss": (dqn_gridworld, {}, {"squared_error": broadcast}, ALL),
    "dqn, no target network": (dqn_gridworld, {}, {"make_update": own_values(dqn_gridworld.make_update)}, ALL),
    "dqn, constant learning rate": (dqn_gridworld, CONSTANT, {}, ALL),
    "dqn, epsilon 0.25": (dqn_gridworld, {"epsilon": 0.25}, {}, ALL),
    "dqn, no random start": (dqn_gridworld, {"learning_starts": 64}, {}, ALL),
    "dqn, the text's settings": (dqn_gridworld, DQN_TEXTS, {}, ONE_GOAL),
    "dqn, the text's settings and loss": (dqn_gridworld, DQN_TEXTS, {"squared_error": broadcast}, ONE_GOAL),
}


def measure(recipe, task, seed, arguments, parts):
    """Goals reached by a shortest way, all goals, and mean return of the greedy games, after one training."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for part, function in parts.items():
            stack.enter_context(mock.patch.object(recipe, part, function))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        recipe.train(env_id=f"grids/{task}-v0", seed=seed, logdir=f"{folder}/run", eval_episodes=0, **arguments)
        with open(f"{folder}/run/evaluation.json") as file:
            found = {key: np.array(value) for key, value in json.load(file).items()}
    shortest = (found["returns"] > 0) & (found["lengths"] == found["shortest"])
    return shortest.sum(), len(shortest), found["returns"].mean()


def compare(seeds=3, only=""):
    """Print one line per variant whose name begins with `only`, and task."""
    for name, (recipe, arguments, parts, tasks) in VARIANTS.items():
        for task in tasks if name.startswith(only) else ():
            ways, goals, returns = zip(*(measure(recipe, task, s, arguments, parts) for s in range(seeds)), strict=True)
            reached = f"{np.mean(ways):.1f} ({min(ways)} to {max(ways)}) of {goals[0]} goals by a shortest way"
            means = f"mean return {np.mean(returns):.1f} ({min(returns):.1f} to {max(returns):.1f})"
            print(f"{name}, {task}: {reached}, {means}, {seeds} seeds", flush=True)


if __name__ == "__main__":
    fire.Fire(compare)
