"""Shapes, sizes and scaling of the trunks."""

import numpy as np

from common.lazy import keras
from common.networks import mlp, nature_cnn


def test_nature_cnn_is_the_network_of_the_paper():
    inputs = keras.Input((4, 84, 84), dtype="uint8")
    model = keras.Model(inputs, nature_cnn(inputs))
    convolutions = 8 * 8 * 4 * 32 + 32 + 4 * 4 * 32 * 64 + 64 + 3 * 3 * 64 * 64 + 64
    assert model.count_params() == convolutions + 7 * 7 * 64 * 512 + 512
    assert model.output_shape == (None, 512)


def test_nature_cnn_sees_each_frame_as_a_channel_scaled_to_one():
    inputs = keras.Input((4, 84, 84), dtype="uint8")
    model = keras.Model(inputs, nature_cnn(inputs))
    scaled = keras.Model(inputs, model.layers[2].output)  # input, Rescaling, Permute
    obs = np.random.default_rng(0).integers(0, 256, (2, 4, 84, 84), dtype=np.uint8)
    np.testing.assert_allclose(scaled(obs), np.moveaxis(obs, 1, -1) / np.float32(255), rtol=1e-6)


def test_mlp():
    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, mlp(inputs, units=(5, 7)))
    assert model.output_shape == (None, 7)
    assert model.count_params() == 6 * 5 + 5 + 5 * 7 + 7


def test_mlp_normalizes_before_the_activation():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, mlp(inputs, units=(4,), activation="relu", normalize=True))
    kernel, bias, scale, shift = np.zeros((3, 4)), np.array([0.0, 2.0, 4.0, 6.0]), np.ones(4), np.zeros(4)
    model.set_weights([kernel, bias, scale, shift])
    # Mean 3, variance 5: (-3, -1, 1, 3) / √5 = (-1.3416, -0.4472, 0.4472, 1.3416).
    np.testing.assert_allclose(model(np.ones((1, 3), np.float32)), [[0.0, 0.0, 0.4472, 1.3416]], atol=1e-3)
