"""A convolution of 3 x 3 cells as a matrix product of patches and as a Conv2D: alone, and in the loop of the recipe.

Alone: milliseconds of a plain graph and of an XLA program for the output of 512 pictures and the gradient of the
weights. In the loop: the whole of recipes/compiled_ppo_breakout.py, rollout and updates, in steps per second, and the
same with a dense layer in place of the convolution. Medians of rounds in which the ways take turns.

    python benchmarks/convolution_speed.py [--rounds=5]
"""

import statistics
import time

import fire
import numpy as np

from common.lazy import keras, tf
from common.machine import processor
from envs.tensor import breakout
from recipes.compiled_ppo_breakout import build_actor_critic, make_train_step

SHAPE, FILTERS, UNITS = (10, 10, 4), 16, 64
GAMES, ROLLOUT, EPOCHS, BATCH = 64, 128, 4, 1024
REPEATS, PICTURES = 20, 512


def with_conv2d():
    """The recipe's network with Keras's own convolution."""
    obs = keras.Input(SHAPE, dtype="uint8")
    planes, heads = keras.layers.Rescaling(1.0)(obs), []
    for name, outputs in (("actor", 3), ("critic", 1)):
        x = keras.layers.Conv2D(FILTERS, 3, activation="relu", name=f"{name}_1")(planes)
        x = keras.layers.Dense(UNITS, "relu")(keras.layers.Flatten()(x))
        heads.append(keras.layers.Dense(outputs)(x))
    return keras.Model(obs, heads)


def networks():
    """dict name → network."""
    return {
        "patches": build_actor_critic(SHAPE, 3, "convolution", FILTERS, UNITS),
        "Conv2D": with_conv2d(),
        "dense": build_actor_critic(SHAPE, 3, "dense", FILTERS, UNITS),
    }


def alone(model, compiled):
    """A function that makes the first layer's output and the gradient of its weights, once."""
    layer = keras.Model(model.input, model.get_layer("actor_1").output)
    obs = tf.constant(np.random.default_rng(0).integers(0, 2, (PICTURES, *SHAPE)), tf.uint8)

    @tf.function(jit_compile=compiled)
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(obs)))
        return tape.gradient(loss, layer.trainable_variables)

    return lambda: [gradient() for _ in range(REPEATS)][-1][0].numpy()


def in_the_loop(model):
    """A function that plays a rollout and makes all updates from it, once."""
    optimizer, state = keras.optimizers.Adam(1e-4), breakout.reset([0, 0], GAMES)
    step = make_train_step(model, optimizer, breakout, ROLLOUT, EPOCHS, BATCH, 0.99, 0.95, 0.2, 0.5, 0.01)
    return lambda: step(state, tf.constant(0))[3].numpy()


def seconds(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def compare(rounds=5):
    """Print the median of each way, and in brackets the lowest and the highest."""
    keras.utils.set_random_seed(0)
    ways = {f"{name}, in the loop, steps/s": in_the_loop(model) for name, model in networks().items()}
    for how in ("graph", "XLA"):
        ways |= {f"{name}, alone, {how}, ms": alone(model, how == "XLA") for name, model in networks().items()}
    for function in ways.values():
        function()  # traced and compiled
    found = {way: [] for way in ways}
    for _ in range(rounds):
        for way, function in ways.items():
            took = seconds(function)
            found[way].append(GAMES * ROLLOUT / took if "steps/s" in way else 1000 * took / REPEATS)
    print(f"{processor()}, {rounds} rounds, median (lowest to highest)")
    for way, values in found.items():
        print(f"{way}: {statistics.median(values):,.2f} ({min(values):,.2f} to {max(values):,.2f})")


if __name__ == "__main__":
    fire.Fire(compare)
