"""A convolution of 3 x 3 cells as a matrix product of patches and as a Conv2D, under XLA and in a plain graph.

It is the first layer of recipes/compiled_ppo_breakout.py, alone: milliseconds of its output, and of the gradient of its
weights with that, for a batch as large as one step of all games and one as large as a minibatch. The median of rounds
in which the ways take turns.

    python benchmarks/convolution_speed.py [--filters=16] [--rounds=7]
"""

import statistics
import time

import fire
import numpy as np
from keras.layers import Conv2D

from common.lazy import keras, tf
from common.machine import processor
from recipes.compiled_ppo_breakout import build_actor_critic

SHAPE, BATCHES, REPEATS = (10, 10, 4), (64, 512), 20


def layers(filters):
    """Both ways as models with the same weights: bytes [B, 10, 10, 4] → [B, 8, 8, filters]."""
    whole = build_actor_critic(SHAPE, 3, filters, 1)
    patches = keras.Model(whole.input, whole.get_layer("convolution").output)
    obs = keras.Input(SHAPE, dtype="uint8")
    direct = keras.Model(obs, Conv2D(filters, 3, activation="relu")(keras.layers.Rescaling(1.0)(obs)))
    kernel, bias = patches.get_weights()
    direct.set_weights([kernel.reshape(3, 3, SHAPE[-1], filters), bias])
    return {"patches": patches, "Conv2D": direct}


def functions(model, compiled):
    """The output of a layer, and the gradient of its weights; functions of a batch."""

    @tf.function(jit_compile=compiled)
    def forward(obs):
        return model(obs)

    @tf.function(jit_compile=compiled)
    def gradient(obs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(obs)))
        return tape.gradient(loss, model.trainable_variables)

    return {"output": forward, "output and gradient": gradient}


def milliseconds(function, obs):
    """Of one call, the mean of some in a row."""
    begin = time.perf_counter()
    for _ in range(REPEATS):
        answer = function(obs)
    tf.nest.map_structure(lambda x: x.numpy(), answer)
    return (time.perf_counter() - begin) / REPEATS * 1000


def compare(filters=16, rounds=7):
    """Print the median of each way, and in brackets the lowest and the highest."""
    keras.utils.set_random_seed(0)
    models, rng = layers(filters), np.random.default_rng(0)
    batches = {size: tf.constant(rng.integers(0, 2, (size, *SHAPE)), tf.uint8) for size in BATCHES}
    one, other = (model(batches[64]).numpy() for model in models.values())
    np.testing.assert_allclose(one, other, atol=1e-5)
    ways = {
        (size, what, name, how): (function, obs)
        for size, obs in batches.items()
        for name, model in models.items()
        for how in ("XLA", "graph")
        for what, function in functions(model, how == "XLA").items()
    }
    for function, obs in ways.values():
        milliseconds(function, obs)  # traced and compiled
    found = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (function, obs) in ways.items():
            found[way].append(milliseconds(function, obs))
    print(f"{processor()}, {filters} filters, {rounds} rounds, median (lowest to highest) in ms")
    for (size, what, name, how), times in sorted(found.items()):
        print(f"{size} pictures, {what}, {name}, {how}: {statistics.median(times):.3g}", end=" ")
        print(f"({min(times):.3g} to {max(times):.3g})")


if __name__ == "__main__":
    fire.Fire(compare)
