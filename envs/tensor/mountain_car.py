"""MountainCar-v0: a car too weak for the hill gathers speed by going back first (gymnasium's equations)."""

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 200
FORCE, GRAVITY = 0.001, 0.0025
LEFT, RIGHT, GOAL, FASTEST = -1.2, 0.6, 0.5, 0.07


def start(seed, n):
    """[N, 2]: position and velocity."""
    position = tf.random.stateless_uniform([n], seed, -0.6, -0.4)
    return tf.stack([position, tf.zeros_like(position)], axis=1)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    return state.now


def step(state, action, seed):
    """action [N] is 0 (left), 1 (none) or 2 (right); the reward of every step is -1."""
    position, speed = tf.unstack(state.now, axis=1)
    speed += (tf.cast(action, tf.float32) - 1) * FORCE - tf.cos(3 * position) * GRAVITY
    speed = tf.clip_by_value(speed, -FASTEST, FASTEST)
    position = tf.clip_by_value(position + speed, LEFT, RIGHT)
    speed = tf.where((position == LEFT) & (speed < 0), 0.0, speed)
    now = tf.stack([position, speed], axis=1)
    terminated = (position >= GOAL) & (speed >= 0)
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, now, -tf.ones_like(position), terminated, truncated
