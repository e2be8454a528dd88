import numpy as np
from reinforce_cartpole import advantages, loss_slope, slope_from_games_of, slope_moments

TWO, REWARD = np.array([0.8, 0.2]), np.array([10.0, 11.0])


def test_loss_slope_of_two_steps():
    # A (pi - onehot) / 2: -0.2 [-0.2, 0.2] / 2 and 0.8 [0.8, -0.8] / 2
    slope = loss_slope(np.array([TWO, TWO]), np.array([0, 1]), np.array([-0.2, 0.8]))
    np.testing.assert_allclose(slope, [[0.02, -0.02], [0.32, -0.32]], atol=1e-7)


def test_loss_slope_of_three_actions():
    slope = loss_slope(np.array([[0.5, 0.3, 0.2]]), np.array([1]), np.array([2.0]))
    np.testing.assert_allclose(slope, [[1.0, -1.4, 0.4]], atol=1e-7)


def test_slope_moments_have_the_same_mean_for_every_baseline():
    np.testing.assert_allclose(slope_moments(TWO, REWARD, 0), [-0.16, 4.32], atol=1e-7)
    np.testing.assert_allclose(slope_moments(TWO, REWARD, 10.2), [-0.16, 0.24], atol=1e-7)
    np.testing.assert_allclose(slope_moments(TWO, REWARD, 10.8), [-0.16, 0], atol=1e-7)


def test_slope_moments_of_three_actions():
    # 0.5 * (1 - 1.9), and the slopes 0.5, -1, -2 with the mean -0.45: 0.5 * 0.95^2 + 0.3 * 0.55^2 + 0.2 * 1.55^2
    moments = slope_moments(np.array([0.5, 0.3, 0.2]), np.array([1.0, 2.0, 4.0]), 0)
    np.testing.assert_allclose(moments, [-0.45, 1.0225**0.5], atol=1e-7)


def test_slope_from_games_of_the_learner_itself():
    np.testing.assert_allclose(slope_from_games_of(TWO, TWO, REWARD), [-0.16, 0.16], atol=1e-7)


def test_slope_from_games_of_an_old_policy():
    old = np.array([0.95, 0.05])
    # 0.95 * 10 * [0.2, -0.2] + 0.05 * 11 * [-0.8, 0.8]
    np.testing.assert_allclose(slope_from_games_of(old, TWO, REWARD), [1.46, -1.46], atol=1e-7)
    np.testing.assert_allclose(slope_from_games_of(old, TWO, REWARD - 10.2), [-0.07, 0.07], atol=1e-7)


def test_advantages_tell_a_long_game_from_a_short_one():
    # returns 1 and 3, 2, 1: mean 1.75, variance 0.6875
    short, long = advantages([[1.0], [1.0, 1.0, 1.0]], 1.0)
    np.testing.assert_allclose(short, [-0.904534], atol=1e-5)
    np.testing.assert_allclose(long, [1.507557, 0.301511, -0.904534], atol=1e-5)


def test_advantages_take_the_rewards_in_their_order():
    # returns 1.648, 0.72, 0.8, 2: mean 1.292, deviation 0.547094
    (game,) = advantages([[1.0, 0.0, -1.0, 2.0]], 0.9)
    np.testing.assert_allclose(game, [0.65071, -1.04552, -0.89930, 1.29411], atol=1e-5)
