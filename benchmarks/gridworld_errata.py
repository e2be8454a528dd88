"""What the repairs of Neural Fitted Q and of DQN on grids are worth: goals that the greedy policy reaches.

One line per variant: on how many seeds every goal was reached, and by a shortest way.

    python benchmarks/gridworld_errata.py [--seeds=3] [--env_id=grids/Simple-v0]
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


def unscaled(obs_shape, num_actions):
    """The text's network: rows and columns as they are."""
    obs = keras.Input(obs_shape, dtype="float32")
    x = keras.layers.Dense(50, activation="relu", kernel_initializer="he_uniform")(obs)
    x = keras.layers.Dense(50, activation="relu", kernel_initializer="he_uniform")(x)
    return keras.Model(obs, keras.layers.Dense(num_actions)(x))


def own_values(make_update):
    """DQN without its target network: the network's own values in the target."""
    return lambda model, target, optimizer, gamma: make_update(model, model, optimizer, gamma)


TEXTS = {"learning_rate": 1e-3, "halving": 10**9, "minibatches": 1, "batch_size": 10, "learning_starts": 10}
VARIANTS = {
    "nfq, as the recipe": (nfq_gridworld, {}, {}),
    "nfq, the text's loss": (nfq_gridworld, {}, {"squared_error": broadcast}),
    "nfq, inputs not scaled": (nfq_gridworld, {}, {"build_q_network": unscaled}),
    "nfq, the text's settings, one game at a time": (nfq_gridworld, {**TEXTS, "num_envs": 1, "episodes": 500}, {}),
    "dqn, as the recipe": (dqn_gridworld, {}, {}),
    "dqn, the text's loss": (dqn_gridworld, {}, {"squared_error": broadcast}),
    "dqn, no target network": (dqn_gridworld, {}, {"make_update": own_values(dqn_gridworld.make_update)}),
}


def compare(seeds=3, env_id="grids/Simple-v0"):
    """Print one line per variant."""
    for name, (recipe, settings, patches) in VARIANTS.items():
        reached, shortest, returns = 0, 0, []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
                for part, function in patches.items():
                    stack.enter_context(mock.patch.object(recipe, part, function))
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                recipe.train(env_id=env_id, seed=seed, logdir=f"{folder}/run", **settings)
                with open(f"{folder}/run/evaluation.json") as file:
                    found = {key: np.array(value) for key, value in json.load(file).items()}
            reached += bool((found["returns"] > 0).all())
            shortest += bool(((found["returns"] > 0) & (found["lengths"] == found["shortest"])).all())
            returns.append(found["returns"].mean())
        text = f"{name}: every goal on {reached} of {seeds} seeds, by a shortest way on {shortest}"
        print(f"{text}; mean return {np.mean(returns):.1f} ({min(returns):.1f} to {max(returns):.1f})", flush=True)


if __name__ == "__main__":
    fire.Fire(compare)
