"""Gridworld-v0: from the start past walls and a bomb to the goal, seen as codes of cells (envs/grids.py)."""

import tensorflow as tf

from envs.grids import BOMBS, Grid
from envs.tensor.games import begin, go_on

GRID = Grid("bombs")
LIMIT = GRID.max_steps
HEIGHT, WIDTH = GRID.shape


def start(seed, n):
    """The cell of each, counted row by row, [N] int32."""
    return tf.fill([n], GRID.start)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    """Codes of all cells, [N, 8, 8] bytes: 0 free, 1 wall, 2 agent, 3 bomb, 4 goal."""
    return seen(state.now)


def seen(cell):
    """Codes of all cells with the agent in a cell [N], [N, 8, 8]."""
    cells = tf.range(HEIGHT * WIDTH)
    plan = tf.where(cells == GRID.goal, 4, tf.constant(GRID.walls * 1 + GRID.bombs * 3, tf.int32))  # [HEIGHT * WIDTH]
    codes = tf.where(cells == cell[:, None], 2, plan)  # [N, HEIGHT * WIDTH]
    return tf.reshape(tf.cast(codes, tf.uint8), (-1, HEIGHT, WIDTH))


def step(state, action, seed):
    """action [N] is 0 to 4: none, down, up, left, right."""
    move = tf.stack([state.now, tf.cast(action, tf.int32)], axis=1)  # [N, 2], a row of either table
    bumps, now = tf.gather_nd(GRID.bumps, move), tf.gather_nd(tf.constant(GRID.next_cell, tf.int32), move)
    at_goal, at_bomb = now == GRID.goal, tf.gather(tf.constant(GRID.bombs), now)
    reward = tf.where(bumps, BOMBS.wall_reward, 0.0)
    reward = tf.where(at_goal, BOMBS.goal_reward, tf.where(at_bomb, BOMBS.bomb_reward, reward))
    terminated = at_goal | at_bomb
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, seen(now), reward, terminated, truncated
