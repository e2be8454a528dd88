"""FrozenLake-v1: a walk over ice to a goal between holes; one slips to either side of where one wants to go."""

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 100
MAP = "SFFFFHFHFFFHHFFG"  # 4 x 4: start, frozen, hole, goal
SIZE = 4


def start(seed, n):
    """The cell of each, [N] int32."""
    return tf.zeros([n], tf.int32)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    return state.now


def moved(cell, action):
    """Where an action leads if one does not slip, [N]: 0 left, 1 down, 2 right, 3 up."""
    row, column = cell // SIZE, cell % SIZE
    column += tf.where(action == 2, 1, 0) - tf.where(action == 0, 1, 0)
    row += tf.where(action == 1, 1, 0) - tf.where(action == 3, 1, 0)
    return SIZE * tf.clip_by_value(row, 0, SIZE - 1) + tf.clip_by_value(column, 0, SIZE - 1)


def step(state, action, seed):
    """action [N] is 0 to 3; one goes there or to either side, each with probability 1/3. The goal pays 1."""
    slip = tf.random.stateless_uniform([state.now.shape[0]], seed, -1, 2, tf.int32)
    now = moved(state.now, (tf.cast(action, tf.int32) + slip) % 4)
    letter = tf.gather(tf.constant([ord(letter) for letter in MAP]), now)
    terminated = (letter == ord("H")) | (letter == ord("G"))
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, now, tf.where(letter == ord("G"), 1.0, 0.0), terminated, truncated
