"""What the games of all worlds have in common: they count their steps, and begin again where they have ended."""

from typing import NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """N games."""

    now: tf.Tensor  # [N, ...], what the world knows of each
    time: tf.Tensor  # [N] int32, steps since its start


def begin(start, seed, n):
    """The state of n new games; `start(seed, n)` draws what the world knows of each."""
    return State(start(seed, n), tf.zeros([n], tf.int32))


def go_on(state, now, terminated, limit, start, seed):
    """After a step to `now`: the next state, in which games that have ended are new ones, and truncated [N]."""
    time = state.time + 1
    truncated = time >= limit
    ended = terminated | truncated
    fresh = start(seed, time.shape[0])
    rows = tf.reshape(ended, [-1] + [1] * (now.shape.rank - 1))  # [N, 1, ...]
    return State(tf.where(rows, fresh, now), tf.where(ended, 0, time)), truncated
