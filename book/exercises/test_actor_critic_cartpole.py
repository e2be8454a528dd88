import numpy as np
import pytest
import tensorflow as tf
from actor_critic_cartpole import discounted_returns, estimates, resting_value, whole_game


def test_estimates_by_hand():
    policy, returns = np.array([0.5, 0.5]), np.array([10.0, 12.0])
    np.testing.assert_allclose(estimates(policy, returns, 0.0), [[5, -5], [-6, 6]])
    np.testing.assert_allclose(estimates(policy, returns, 11.0), [[-0.5, 0.5], [-0.5, 0.5]])  # no variance is left


@pytest.mark.parametrize("baseline", [0.0, 1.5, -3.0])
def test_estimates_have_one_mean_whatever_the_baseline(baseline):
    # The value is 0.7 + 0.4 + 0.4 = 1.5, and the slope of logit a is policy[a] * (returns[a] - 1.5).
    policy, returns = np.array([0.7, 0.2, 0.1]), np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(policy @ estimates(policy, returns, baseline), [-0.35, 0.1, 0.25], atol=1e-12)


def test_discounted_returns_of_a_game_that_was_stopped_or_ended():
    np.testing.assert_allclose(discounted_returns([1, 1, 1], False, 10.0, 0.9), [10, 10, 10])
    np.testing.assert_allclose(discounted_returns([1, 1, 1], True, 10.0, 0.9), [2.71, 1.9, 1])
    # 2 + 0.5 * 5 = 4.5; 0 + 0.5 * 4.5 = 2.25; 1 + 0.5 * 2.25 = 2.125
    np.testing.assert_allclose(discounted_returns([1, 0, 2], False, 5.0, 0.5), [2.125, 2.25, 4.5])


def test_resting_value_is_too_high_by_the_entropy():
    # 11 + ln 2; and 0.7 * 1 + 0.2 * 2 + 0.1 * 4 = 1.5, with the entropy 0.801819
    np.testing.assert_allclose(resting_value(np.array([0.5, 0.5]), np.array([10.0, 12.0])), 11.693147, atol=1e-5)
    np.testing.assert_allclose(resting_value(np.array([0.7, 0.2, 0.1]), np.array([1.0, 2, 4])), 2.301819, atol=1e-5)


def test_whole_game_is_one_loop_of_one_graph():
    calls = []

    def step(obs):
        """A game of as many steps as its first observation says; each pays what is seen."""
        calls.append(obs)
        return obs - 1, tf.cast(obs, tf.float32), obs <= 1

    play = tf.function(lambda obs: whole_game(step, obs))
    assert [float(play(tf.constant(steps))) for steps in (1, 4, 100)] == [1, 10, 5050]
    assert play.experimental_get_tracing_count() == 1 and len(calls) < 10
