"""Losses by hand."""

import numpy as np

from common.lazy import tf
from common.losses import huber


def test_huber_and_its_slope_by_hand():
    # 0.5 * 0.5² = 0.125; 3 - 0.5 = 2.5; the slope is the error, clipped to ±1.
    error = tf.Variable([0.5, -3.0, 1.0])
    with tf.GradientTape() as tape:
        loss = huber(error)
    np.testing.assert_allclose(loss, [0.125, 2.5, 0.5])
    np.testing.assert_allclose(tape.gradient(loss, error), [0.5, -1.0, 1.0])
