import math

import numpy as np
from sac_pendulum import log_prob, slopes, soft, step


def test_log_prob_of_one_number_and_of_two():
    np.testing.assert_allclose(log_prob([0.3], [0.5], [1.0]), -0.1442843, rtol=1e-6)  # the table of the page
    np.testing.assert_allclose(log_prob([0.3, 20.0], [0.5, 1.0], [1.0, 0.0]), 37.694767 - 0.1442843, rtol=1e-6)


def test_log_prob_far_out():
    # -.918939 - 2 * (.693147 - 20 - 0); -.918939 - 2 * (.693147 + 400 - 800)
    np.testing.assert_allclose(log_prob([20.0], [1.0], [0.0]), 37.694767, rtol=1e-6)
    np.testing.assert_allclose(log_prob([-400.0], [1.0], [0.0]), 797.694767, rtol=1e-6)


def test_soft_gives_the_table():
    for alpha, first, expected in ((0.1, 0.9999546, 1.000005), (1.0, 0.7310586, 1.313262), (10.0, 0.5249792, 7.443967)):
        p, value = soft(np.array([1.0, 0.0]), alpha)
        np.testing.assert_allclose(p, [first, 1 - first], atol=1e-6)
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_soft_values_are_higher_than_those_of_other_policies():
    q = np.array([1.0, 0.5, -2.0])
    p, value = soft(q, 0.7)
    worth = lambda p: (p * (q - 0.7 * np.log(p))).sum()  # noqa: E731
    np.testing.assert_allclose(value, worth(p))
    assert all(worth(other) < value for other in np.random.default_rng(0).dirichlet(np.ones(3), 100))


def test_soft_of_large_values():
    np.testing.assert_allclose(soft(np.array([1000.0, 999.0]), 1.0)[1], 1000.313262)


def test_step_goes_down_the_surplus():
    np.testing.assert_allclose(step(0.0, -1, 0.1), -0.2418939, rtol=1e-6)  # -.1 * (1.418939 + 1)
    np.testing.assert_allclose(step(-10.0, -1, 0.1), -9.7418939, rtol=1e-6)  # -.1 * (1.418939 - 5 + 1)


def test_step_ends_where_the_entropy_is_its_target():
    log_alpha = 0.0
    for _ in range(300):
        log_alpha = step(log_alpha, -1, 0.1)
    np.testing.assert_allclose(math.exp(log_alpha), math.exp(-3) / (2 * math.pi), rtol=1e-4)


def test_slopes():
    np.testing.assert_allclose(slopes(0.3, 0.5, 1.0), [1.3280736, -0.3359632], rtol=1e-6)  # a = .6640368
    np.testing.assert_allclose(slopes(20.0, 2.0, 0.0), [2, -1])
