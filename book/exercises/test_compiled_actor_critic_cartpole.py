import numpy as np
import pytest
import tensorflow as tf
from compiled_actor_critic_cartpole import learnt_values, restart, walk

# Four games: one goes on, the others are terminated, truncated, both. As many numbers as games, so that a mask of the
# wrong shape broadcasts.
NOW, TIME, TERMINATED = np.arange(16.0).reshape(4, 4), np.array([1, 0, 2, 2]), np.array([False, True, False, True])


def test_restart_begins_again_where_a_game_has_ended():
    now, time, _ = restart(NOW, TIME, TERMINATED, 3, -NOW - 1)
    np.testing.assert_array_equal(now, [[0, 1, 2, 3], [-5, -6, -7, -8], [-9, -10, -11, -12], [-13, -14, -15, -16]])
    np.testing.assert_array_equal(time, [2, 0, 0, 0])


def test_restart_tells_which_games_the_clock_has_stopped():
    _, _, truncated = restart(NOW, TIME, TERMINATED, 3, -NOW - 1)
    np.testing.assert_array_equal(truncated, [False, False, True, True])


def test_walk_gives_each_step_a_seed_of_its_own():
    def step(state, seed):
        return state + tf.concat([seed, [1]], axis=0)  # sums of the seeds, sums of t, and steps

    found = walk(step, tf.constant([0, 0, 0]), tf.constant(7), 4)
    np.testing.assert_array_equal(found, [[7, 0, 1], [14, 1, 2], [21, 3, 3], [28, 6, 4]])


def test_walk_is_one_loop_of_the_graph_however_long():
    calls = []

    def step(state, seed):
        calls.append(seed)
        return state + tf.random.stateless_uniform([5], seed)

    found = tf.function(lambda state, seed: walk(step, state, seed, 300), jit_compile=True)(tf.zeros(5), tf.constant(1))
    assert found.shape == (300, 5)
    assert len(calls) <= 3  # a loop of Python would call it 300 times
    assert len(np.unique(np.diff(found[:, 0]).round(3))) > 100  # other numbers at each step


@pytest.mark.parametrize(
    ("share", "warm", "cold"),
    [(0, 5, 2.5), (0.2, 45 / 13, 20 / 13), (1, 1, 0)],  # 0.36 w = 1 + 0.16 c, 0.36 c = 0.16 w
)
def test_learnt_values(share, warm, cold):
    np.testing.assert_allclose(np.float64(learnt_values(share)), [warm, cold], atol=1e-6)
