"""Losses that several recipes use."""

from common.lazy import tf


def huber(error):
    """0.5 e² where |e| < 1, |e| - 0.5 beyond, so its slope is the error clipped to ±1; [...] → [...]."""
    size = tf.abs(error)
    quadratic = tf.minimum(size, 1.0)
    return 0.5 * quadratic**2 + (size - quadratic)
