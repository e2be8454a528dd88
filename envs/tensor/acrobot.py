"""Acrobot-v1: two links hang from a pivot, and a motor between them swings the lower end up (gymnasium's equations)."""

import math

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 500
GRAVITY, SECONDS = 9.8, 0.2
# Both links have length 1, mass 1, inertia 1, and their centre in the middle.
FASTEST = (4 * math.pi, 9 * math.pi)


def start(seed, n):
    """[N, 4]: two angles and their velocities."""
    return tf.random.stateless_uniform([n, 4], seed, -0.1, 0.1)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    """Cosine and sine of either angle, and the velocities, [N, 6]."""
    return seen(state.now)


def seen(now):
    """Angles and velocities [N, 4] as they are observed, [N, 6]."""
    first, second, *spins = tf.unstack(now, axis=1)
    return tf.stack([tf.cos(first), tf.sin(first), tf.cos(second), tf.sin(second), *spins], axis=1)


def slope(now, torque):
    """The derivative of angles and velocities in time, [N, 4]."""
    first, second, spin, second_spin = tf.unstack(now, axis=1)
    cosine, sine = tf.cos(second), tf.sin(second)
    d1 = 3.5 + cosine
    d2 = 1.25 + 0.5 * cosine
    phi2 = 0.5 * GRAVITY * tf.sin(first + second)
    phi1 = -0.5 * sine * second_spin * (second_spin + 2 * spin) + 1.5 * GRAVITY * tf.sin(first) + phi2
    second_turning = (torque + d2 / d1 * phi1 - 0.5 * spin**2 * sine - phi2) / (1.25 - d2**2 / d1)
    turning = -(d2 * second_turning + phi1) / d1
    return tf.stack([spin, second_spin, turning, second_turning], axis=1)


def wrapped(angle):
    """The same angle between -pi and pi."""
    return tf.math.floormod(angle + math.pi, 2 * math.pi) - math.pi


def step(state, action, seed):
    """action [N] is 0, 1 or 2: a torque of -1, 0 or 1; the reward is -1 until the end is up, and 0 then."""
    torque = tf.cast(action, tf.float32) - 1
    now = state.now
    k1 = slope(now, torque)  # Runge and Kutta's method of order 4
    k2 = slope(now + SECONDS / 2 * k1, torque)
    k3 = slope(now + SECONDS / 2 * k2, torque)
    k4 = slope(now + SECONDS * k3, torque)
    first, second, *spins = tf.unstack(now + SECONDS / 6 * (k1 + 2 * k2 + 2 * k3 + k4), axis=1)
    spins = [tf.clip_by_value(spin, -fastest, fastest) for spin, fastest in zip(spins, FASTEST, strict=True)]
    now = tf.stack([wrapped(first), wrapped(second), *spins], axis=1)
    terminated = -tf.cos(now[:, 0]) - tf.cos(now[:, 0] + now[:, 1]) > 1
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, seen(now), tf.where(terminated, 0.0, -1.0), terminated, truncated
