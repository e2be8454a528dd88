"""Trunks of networks: Keras Functional, built-in layers only, so that a saved model loads without this repository."""

from __future__ import annotations

from common.lazy import keras


def mlp(inputs, units=(64, 64), activation="tanh", normalize=False):
    """Fully connected layers.

    Args:
        inputs: Keras tensor, [B, D] or any shape, which is flattened.
        units: width of each layer.
        activation: after each layer.
        normalize: layer normalisation before each activation.

    Returns:
        Keras tensor, [B, units[-1]].
    """
    x = keras.layers.Flatten()(inputs) if len(inputs.shape) != 2 else inputs
    for width in units:
        if normalize:
            x = keras.layers.Dense(int(width))(x)
            x = keras.layers.LayerNormalization()(x)
            x = keras.layers.Activation(activation)(x)
        else:
            x = keras.layers.Dense(int(width), activation=activation)(x)
    return x


def nature_cnn(inputs, dtype="float32"):
    """The convolutional trunk of Mnih et al. 2015 (Nature 518:529), scaling of the pixels included.

    Its weights start with the variance that He et al. 2015 give rectified units (https://arxiv.org/abs/1502.01852).
    Keras' own, Glorot's, are a third as large in the first layer, and Q-learning on Pong then often kills most of its
    units.

    Args:
        inputs: Keras tensor of bytes, [B, stack, height, width], as gymnasium and ALE deliver frames; 36 x 36 at least.
        dtype: of every layer; mixed_bfloat16 multiplies in bfloat16 and keeps the weights in float32.

    Returns:
        Keras tensor, [B, 512].
    """
    x = keras.layers.Rescaling(1 / 255, dtype=dtype)(inputs)  # before Permute, which moves floats faster than bytes
    x = keras.layers.Permute((2, 3, 1), dtype=dtype)(x)  # TensorFlow convolves channels last on a CPU
    relu = {"activation": "relu", "kernel_initializer": "he_uniform", "dtype": dtype}
    x = keras.layers.Conv2D(32, 8, strides=4, **relu)(x)
    x = keras.layers.Conv2D(64, 4, strides=2, **relu)(x)
    x = keras.layers.Conv2D(64, 3, **relu)(x)
    x = keras.layers.Flatten(dtype=dtype)(x)
    return keras.layers.Dense(512, **relu)(x)
