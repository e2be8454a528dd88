"""What the repairs of the neural evolutionary agent are worth: mean reward of the last generation, best 1.

One line per variant: its mean over seeds and each seed's; on how many it is 0.95; on how many greedy games, without any
drawing, reach the goal. Standing still earns 0, the bomb -1.

    python benchmarks/neural_evolution_errata.py [--seeds=5]
"""

import contextlib
import io
import json
import tempfile
from unittest import mock

import fire
import numpy as np

from common.lazy import keras, tf
from recipes import neural_evolutionary_agent as recipe


def run(seed, settings, patches):
    """Mean reward of the last generation, and of games with the most probable actions; why it stopped, if it did."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for owner, name, function in patches:
            stack.enter_context(mock.patch.object(owner, name, function))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            recipe.train(seed=seed, logdir=f"{folder}/run", **settings)
        except FloatingPointError as error:
            return np.nan, np.nan, str(error).split(";")[0]
        with open(f"{folder}/run/evaluation.json") as file:
            result = json.load(file)
        return result["generation_mean"][-1], np.mean(result["scores"]), ""


def codes_as_they_are(obs_shape, action_dim, hidden_units):
    """The text's brain: codes 0 to 4, not divided."""
    obs = keras.Input(obs_shape, dtype="uint8")
    numbers = keras.layers.Rescaling(1.0)(obs)
    hidden = keras.layers.Dense(hidden_units, activation="relu")(keras.layers.Flatten()(numbers))
    return keras.Model(obs, keras.layers.Dense(action_dim, name="logits")(hidden), name="brain")


def draw_from_logarithms(self, obs):
    """The text's drawing: a logarithm of logits, NaN below 0. What cannot be drawn so counts as the first action."""
    drawn = tf.random.stateless_categorical(tf.math.log(self.think(obs)), 1, self.rng.integers(2**31, size=2))
    drawn = drawn[:, 0].numpy()
    return np.where(drawn < 5, drawn, 0)  # 5, which is no action, comes where all five are NaN


def logits_for_probabilities(logits, actions):
    """The text's loss: Keras's cross-entropy, left to believe that logits are probabilities."""
    return tf.reduce_mean(keras.losses.categorical_crossentropy(tf.one_hot(actions, logits.shape[1]), logits))


def elites_above(trajectories, elitism_criterion):
    """Elites with `>`: nobody, where the threshold is the best reward."""
    threshold = np.percentile(trajectories.rewards, elitism_criterion)
    lessons = trajectories.playing & (trajectories.rewards > threshold)
    return trajectories.obs[lessons], trajectories.actions[lessons], float(threshold)


def share_of_nan(brains=20):
    """Print how many logits of untrained brains are below 0, where the text takes their logarithm."""
    envs = recipe.make_vec("Gridworld-v0", 1, "grids")
    obs, _ = envs.reset(seed=0)
    below = []
    for seed in range(brains):
        keras.utils.set_random_seed(seed)
        below.append(codes_as_they_are(obs.shape[1:], 5, 32)(obs).numpy() < 0)
    whole = np.all(below, axis=-1).mean()
    print(f"logits below 0 in {brains} new brains: {np.mean(below):.0%}; all five below 0: {whole:.0%} of the brains")


def compare(seeds=5):
    """Print one line per variant."""
    share_of_nan()
    budget = {"num_trajectory_rollouts": 70, "elitism_criterion": 70.0, "episodes": 700}
    drawing = (recipe.Agent, "get_action", draw_from_logarithms)
    loss = (recipe, "cross_entropy", logits_for_probabilities)
    codes = (recipe, "build_brain", codes_as_they_are)
    variants = {
        "repaired": ({}, []),
        "codes as they are": ({}, [codes]),
        "Adam 0.001": ({"learning_rate": 1e-3}, []),
        "the text's budget": (budget, []),
        "the text's budget, 100 generations": ({**budget, "episodes": 7000}, []),
        "the text's budget, Adam 0.001": ({**budget, "learning_rate": 1e-3}, []),
        "70th percentile": ({"elitism_criterion": 70.0}, []),
        "70 rollouts": ({"num_trajectory_rollouts": 70, "episodes": 2100}, []),
        "drawn from log(logits)": ({}, [drawing]),
        "logits taken for probabilities": ({}, [loss]),
        "elites above the percentile, not from it on": ({}, [(recipe, "gather_elite_xp", elites_above)]),
        "as printed": ({**budget, "learning_rate": 1e-3}, [drawing, loss, codes]),
    }
    for name, (settings, patches) in variants.items():
        last, greedy, why = zip(*(run(seed, settings, patches) for seed in range(seeds)), strict=True)
        each = ", ".join(f"{x:.2f}" for x in last)  # nan: the run did not come to its end
        good, wins = sum(x >= 0.95 for x in last), sum(x >= 0.95 for x in greedy)
        print(f"{name}: {np.mean(last):.2f} ({each}), 0.95 on {good} of {seeds}, greedy games win on {wins}", end="")
        print("".join(f"; {reason}" for reason in sorted(set(why) - {""})))


if __name__ == "__main__":
    fire.Fire(compare)
