import numpy as np
from pqn_cartpole import lambda_returns, normalised, returns_with_ends, share_of_news

REWARD, NEXT_VALUE, ENDED = np.array([1.0, 0, 2]), np.array([0.5, 1, 4]), np.array([False, True, False])


def test_lambda_returns_of_three_steps():
    # 2 + .9 * 4 = 5.6; .9 * (.5 * 1 + .5 * 5.6) = 2.97; 1 + .9 * (.5 * .5 + .5 * 2.97) = 2.5615
    np.testing.assert_allclose(lambda_returns(REWARD, NEXT_VALUE, 0.9, 0.5), [2.5615, 2.97, 5.6])


def test_lambda_returns_at_both_ends_of_lambda():
    np.testing.assert_allclose(lambda_returns(REWARD, NEXT_VALUE, 0.9, 0), [1.45, 0.9, 5.6])
    np.testing.assert_allclose(lambda_returns(REWARD, NEXT_VALUE, 0.9, 1), [5.536, 5.04, 5.6])


def test_returns_with_ends_of_both_kinds():
    for terminated, expected in ((ENDED, [1.225, 0, 5.6]), (np.zeros(3, bool), [1.63, 0.9, 5.6])):
        found = returns_with_ends(REWARD, NEXT_VALUE, terminated, ENDED, 0.9, 0.5)
        np.testing.assert_allclose(found, expected)


def test_returns_with_ends_hear_nothing_of_the_next_game():
    reward, next_value = np.array([1, 0, 1e6]), np.array([0.5, 1, 1e6])
    found = returns_with_ends(reward, next_value, np.zeros(3, bool), ENDED, 0.9, 0.5)
    np.testing.assert_allclose(found[:2], [1.63, 0.9])


def test_share_of_news_that_reaches_the_first_of_32_steps():
    found = [share_of_news(lam, 0.99, 32) for lam in (0, 0.65, 0.95, 1)]
    np.testing.assert_allclose(found, [0, 1.162e-6, 0.1493, 0.7323], rtol=1e-3)


def test_share_of_news_of_short_rollouts():
    np.testing.assert_allclose([share_of_news(0.5, 0.9, length) for length in (1, 2, 3)], [1, 0.45, 0.2025])


def test_normalised_for_each_observation_alone():
    expected = [np.array([-3, -1, 1, 3]) / np.sqrt(5), [-1, -1, 1, 1]]
    np.testing.assert_allclose(normalised(np.array([[0.0, 2, 4, 6], [10, 10, 30, 30]])), expected, atol=1e-3)


def test_normalised_is_deaf_to_the_size():
    expected = [np.array([-3, -1, 1, 3]) / np.sqrt(5)]
    np.testing.assert_allclose(normalised(1000 * np.array([[0.0, 2, 4, 6]])), expected, atol=1e-3)
