import numpy as np
from td3_pendulum import copy_after, mean_target, opinions, smoothed, target


def test_target_takes_the_lower_critic():
    reward, discount, next_q = np.array([1.0, 1.0]), np.array([0.99, 0.0]), np.array([[4.0, 3.5], [4.0, 3.5]])
    np.testing.assert_allclose(target(reward, discount, next_q), [4.465, 1])


def test_target_of_one_critic_and_of_three():
    reward, discount, next_q = np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([[4.0, 3.0, 2.0], [0, 1, 2]])
    np.testing.assert_allclose(target(reward, discount, next_q[:, :1]), [3, 1])
    np.testing.assert_allclose(target(reward, discount, next_q), [2, 1])


def test_opinions_of_critics_apart():
    np.testing.assert_allclose(opinions(0.0), [1.54, 0, -0.05], atol=0.01)


def test_opinions_of_critics_alike():
    np.testing.assert_allclose(opinions(0.9), [1.54, 1.39, 1.28], atol=0.02)
    np.testing.assert_allclose(opinions(1.0), [1.54, 1.54, 1.54], atol=0.02)


def test_mean_target_of_a_narrow_peak_and_a_broad_one():
    np.testing.assert_allclose(mean_target(0.2, 0.05), 4.3609, atol=1e-4)
    np.testing.assert_allclose(mean_target(0.2, 0.5), 5.9254, atol=1e-4)


def test_smoothed_clips_the_noise_and_then_the_sum():
    # 1.8 + 2 * .3 = 2.4, too far; 0 - 2 * .5; 1.8 - 2 * .5
    np.testing.assert_allclose([smoothed(1.8, 0.3), smoothed(0.0, -2.0), smoothed(1.8, -2.0)], [2, -1, 0.8])
    np.testing.assert_allclose([smoothed(-1.8, -0.3), smoothed(0.0, 2.0), smoothed(0.5, 0.3)], [-2, 1, 1.1])


def test_copy_after_a_round():
    np.testing.assert_allclose(copy_after(64, 0.01, 1), 0.4744, atol=1e-4)
    np.testing.assert_allclose(copy_after(64, 0.01, 2), 0.2750, atol=1e-4)


def test_copy_after_an_odd_number_of_updates():
    np.testing.assert_allclose(copy_after(3, 0.01, 2), 0.01)
