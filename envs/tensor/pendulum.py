"""Pendulum-v1: a motor swings a pole up and holds it there (gymnasium's equations). Its games only ever truncate."""

import math

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 200
GRAVITY, SECONDS = 10.0, 0.05  # mass 1, length 1
STRONGEST, FASTEST = 2.0, 8.0


def start(seed, n):
    """[N, 2]: angle, 0 is up, and angular velocity."""
    return tf.random.stateless_uniform([n, 2], seed, -1.0, 1.0) * tf.constant([math.pi, 1.0])


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    """Cosine and sine of the angle, and the velocity, [N, 3]."""
    return seen(state.now)


def seen(now):
    """Angle and velocity [N, 2] as they are observed, [N, 3]."""
    angle, spin = tf.unstack(now, axis=1)
    return tf.stack([tf.cos(angle), tf.sin(angle), spin], axis=1)


def step(state, action, seed):
    """action [N, 1] is a torque from -2 to 2."""
    angle, spin = tf.unstack(state.now, axis=1)
    torque = tf.clip_by_value(action[:, 0], -STRONGEST, STRONGEST)
    off = tf.math.floormod(angle + math.pi, 2 * math.pi) - math.pi
    reward = -(off**2 + 0.1 * spin**2 + 0.001 * torque**2)
    spin = tf.clip_by_value(spin + (1.5 * GRAVITY * tf.sin(angle) + 3 * torque) * SECONDS, -FASTEST, FASTEST)
    now = tf.stack([angle + SECONDS * spin, spin], axis=1)
    terminated = tf.zeros_like(off, tf.bool)
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, seen(now), reward, terminated, truncated
