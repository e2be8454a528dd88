"""MinAtar's Breakout on a grid of 10 x 10 cells: a paddle keeps a ball in the air, which breaks bricks.

The rules are those of Young and Tian (https://arxiv.org/abs/1903.03176). As in their second set of ids, there are three
actions, and with probability 0.1 the previous action is repeated. Their games have no limit; here they are truncated.
"""

import tensorflow as tf

from envs.tensor.games import begin, go_on

LIMIT = 1000
STICKY = 0.1  # probability that the previous action is repeated
SIZE, BOTTOM = 10, 9
ABOVE, BRICKS, BELOW = 10, 30, 60  # cells above the bricks, of them, and below them, counted row by row


def draws(seed, n):
    """[N, 2] from 0 to 1: one decides where a new game starts, the other whether an action is repeated."""
    return tf.random.stateless_uniform([n, 2], seed)


def start(seed, n):
    """[N, 39]: ball x, y, its directions, the cell that it left, paddle, on a brick, last action, and the bricks."""
    is_left, filled = draws(seed, n)[:, 0] < 0.5, tf.fill([n], 1)  # [N]
    x, dx = tf.where(is_left, 0, SIZE - 1), tf.where(is_left, 1, -1)
    columns = [x, 3 * filled, dx, filled, x, 3 * filled, 4 * filled, 0 * filled, 0 * filled]
    return tf.stack([*columns, *[filled] * BRICKS], axis=1)


def reset(seed, n):
    return begin(start, seed, n)


def observe(state):
    """Four planes of zeros and ones, [N, 10, 10, 4] bytes: paddle, ball, the cell that the ball left, bricks."""
    return seen(state.now)


def seen(now):
    """What is known of each game [N, 39] as it is observed, [N, 10, 10, 4]."""
    x, y, _, _, last_x, last_y, paddle, _, _, *_ = tf.unstack(now, axis=1)
    single = [SIZE * BOTTOM + paddle, SIZE * y + x, SIZE * last_y + last_x]  # the one cell of each plane
    planes = [tf.cast(tf.range(SIZE * SIZE) == cell[:, None], tf.int32) for cell in single]  # [N, 100] each
    bricks = tf.pad(now[:, -BRICKS:], [[0, 0], [ABOVE, BELOW]])
    return tf.cast(tf.reshape(tf.stack([*planes, bricks], axis=2), (-1, SIZE, SIZE, 4)), tf.uint8)


def step(state, action, seed):
    """action [N] is 0 (none), 1 (left) or 2 (right); each brick pays 1, and a game is lost with its ball."""
    x, y, dx, dy, _, _, paddle, was_on_brick, last_action, *_ = tf.unstack(state.now, axis=1)  # [N] each
    bricks = state.now[:, -BRICKS:]
    action = tf.where(draws(seed, x.shape[0])[:, 1] < STICKY, last_action, tf.cast(action, tf.int32))
    paddle = tf.clip_by_value(paddle + tf.where(action == 2, 1, 0) - tf.where(action == 1, 1, 0), 0, SIZE - 1)

    # Where the ball would fly to, off the side walls.
    next_x, next_y = tf.clip_by_value(x + dx, 0, SIZE - 1), y + dy
    dx = tf.where(next_x == x, -dx, dx)
    at_ceiling, at_bottom = next_y < 0, next_y == BOTTOM
    ahead = tf.cast(tf.range(ABOVE, ABOVE + BRICKS) == (SIZE * next_y + next_x)[:, None], tf.int32) * bricks  # [N, 30]
    on_brick = tf.reduce_sum(ahead, axis=1)  # 0 or 1

    # A brick breaks unless the ball was on one already; a paddle under the ball reflects it, one ahead of it turns it.
    breaks = (on_brick == 1) & (was_on_brick == 0)
    is_under, is_ahead = at_bottom & (paddle == x), at_bottom & (paddle == next_x) & (paddle != x)
    rebounds = breaks | is_under | is_ahead
    next_y = tf.where(at_ceiling, 0, tf.where(rebounds, y, next_y))
    dx, dy = tf.where(is_ahead, -dx, dx), tf.where(at_ceiling | rebounds, -dy, dy)
    bricks -= ahead * tf.cast(breaks, tf.int32)[:, None]
    is_cleared = at_bottom & (tf.reduce_sum(bricks, axis=1) == 0)
    bricks = tf.where(is_cleared[:, None], 1, bricks)

    columns = [next_x, next_y, dx, dy, x, y, paddle, on_brick, action]
    now = tf.concat([tf.stack(columns, axis=1), bricks], axis=1)
    terminated = at_bottom & ~is_under & ~is_ahead
    following, truncated = go_on(state, now, terminated, LIMIT, start, seed)
    return following, seen(now), tf.cast(breaks, tf.float32), terminated, truncated
