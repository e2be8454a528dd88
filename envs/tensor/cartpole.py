"""CartPole-v1: a cart that is pushed to the left or to the right balances a pole (gymnasium's equations)."""

import math

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 500
FORCE, GRAVITY, SECONDS = 10.0, 9.8, 0.02
POLE_MASS, MASS, HALF_LENGTH = 0.1, 1.1, 0.5  # MASS is that of cart and pole
EDGE, ANGLE = 2.4, math.radians(12)


def start(seed, n):
    """[N, 4]: position, velocity, angle, angular velocity."""
    return tf.random.stateless_uniform([n, 4], seed, -0.05, 0.05)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    return state.now


def step(state, action, seed):
    """action [N] is 0 (left) or 1 (right); the reward of every step is 1."""
    x, speed, angle, spin = tf.unstack(state.now, axis=1)  # [N] each
    push = tf.where(action == 1, FORCE, -FORCE)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    common = (push + POLE_MASS * HALF_LENGTH * spin**2 * sine) / MASS
    turning = (GRAVITY * sine - cosine * common) / (HALF_LENGTH * (4 / 3 - POLE_MASS * cosine**2 / MASS))
    pushing = common - POLE_MASS * HALF_LENGTH * turning * cosine / MASS
    now = tf.stack(
        [x + SECONDS * speed, speed + SECONDS * pushing, angle + SECONDS * spin, spin + SECONDS * turning], axis=1
    )
    terminated = (tf.abs(now[:, 0]) > EDGE) | (tf.abs(now[:, 2]) > ANGLE)
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, now, tf.ones_like(x), terminated, truncated
