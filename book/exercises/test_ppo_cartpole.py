import numpy as np
from ppo_cartpole import actor_loss, estimates, slope, standardized

RATIO, ADVANTAGE = np.array([1.25, 0.75, 0.25, 1.5]), np.array([1.0, 1, -1, -1])


def test_actor_loss_in_its_four_cases():
    np.testing.assert_allclose(actor_loss(RATIO, ADVANTAGE, 0.2), [-1.2, -0.75, 0.8, 1.5])


def test_slope_is_zero_where_the_policy_went_far_enough():
    np.testing.assert_allclose(slope(RATIO, ADVANTAGE, 0.2), [0, -0.75, 0, 1.5])


def test_estimates_have_the_divergence_as_their_mean():
    old, new = np.array([0.5, 0.5]), np.array([0.8, 0.2])
    first, second = estimates(old, new)
    np.testing.assert_allclose([old @ first, old @ second], [0.2231436, 0.2231436], atol=1e-6)
    np.testing.assert_allclose(second, [0.1299964, 0.3162907], atol=1e-6)


def test_standardized():
    np.testing.assert_allclose(standardized(np.array([1.125, -1.5])), [1, -1], atol=1e-4)
    np.testing.assert_allclose(standardized(np.array([100.001, 100.0])), [1, -1], atol=1e-4)
