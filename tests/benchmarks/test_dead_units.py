"""Dead units: a share by hand, variants of which the first is the recipe, and a page that shows the runs."""

import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import dead_units  # noqa: E402

from common.lazy import keras  # noqa: E402
from recipes.dqn_atari import build_optimizer, build_q_network  # noqa: E402


def test_the_share_that_is_alive_by_hand():
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(4, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="q")(hidden))
    # Columns: positive for the first screen, for the second, for none, and 0 for both.
    kernel = np.array([[1.0, -1, -1, 0], [-1.0, 1, -1, 0]])
    model.layers[1].set_weights([kernel, np.zeros(4)])
    assert dead_units.alive(model, np.eye(2, dtype=np.float32)) == [0.5]


def test_a_network_that_shows_nothing_on_most_screens_is_told_from_one_that_does():
    model = build_q_network((4, 84, 84), 6)
    screens = np.random.default_rng(0).integers(0, 256, (8, 4, 84, 84), dtype=np.uint8)
    shares = dead_units.alive(model, screens)
    assert len(shares) == len(dead_units.LAYERS) and shares[0] > 0.5
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    first.bias.assign(-100 * np.ones(32))
    assert dead_units.alive(model, screens)[0] == 0


def test_the_first_variant_is_the_recipe_and_the_last_is_keras():
    (weights, epsilon), *_, (of_keras, small) = dead_units.VARIANTS.values()
    trunk = [layer for layer in build_q_network((4, 84, 84), 6).layers if hasattr(layer, "kernel")][:-1]
    assert {type(layer.kernel_initializer) for layer in trunk} == {type(keras.initializers.get(weights))}
    assert build_optimizer("adam", 1e-4).epsilon == epsilon
    assert keras.optimizers.Adam().epsilon == small
    assert type(keras.layers.Dense(1).kernel_initializer) is type(keras.initializers.get(of_keras))


def test_the_page_shows_the_runs():
    results = json.loads(dead_units.PATH.read_text())
    assert list(results) == list(dead_units.VARIANTS)
    for runs in results.values():
        assert [run["seed"] for run in runs] == list(dead_units.SEEDS)
        assert not any("dirty" in run["git_commit"] for run in runs)
    page = dead_units.PAGE.read_text()
    assert dead_units.with_table(page, results) == page
