import numpy as np
import pytest
from prioritized_dqn_cartpole import probabilities, share, weights

ERRORS = np.array([0.5, 1, 2, 4])


@pytest.mark.parametrize(
    ("alpha", "wanted"),
    [(0.6, [0.1206, 0.1827, 0.2769, 0.4198]), (0, [0.25, 0.25, 0.25, 0.25]), (1, [1 / 15, 2 / 15, 4 / 15, 8 / 15])],
)
def test_probabilities(alpha, wanted):
    np.testing.assert_allclose(probabilities(ERRORS, alpha), wanted, atol=1e-4)


def test_probabilities_of_steps_without_error_are_not_zero():
    np.testing.assert_allclose(probabilities(np.array([0.0, 1.0]), 0.5), [1 / 1001, 1000 / 1001], rtol=1e-5)


def test_weights():
    probability = np.array([0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(weights(probability, 1.0), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(weights(probability, 0.5), [1, 0.7071, 0.5774, 0.5], atol=1e-4)
    np.testing.assert_allclose(weights(probability, 0.0), [1, 1, 1, 1])


def test_weights_take_the_bias_away():
    probability, move = np.array([0.1206, 0.1827, 0.2769, 0.4198]), np.array([1.0, 2, 3, 4])
    weighed = probability * weights(probability, 1.0)
    assert weighed @ move / weighed.sum() == pytest.approx(2.5)


@pytest.mark.parametrize(("alpha", "wanted"), [(0, 0.01), (0.2, 0.1809), (0.6, 0.9906), (1, 1)])
def test_share_of_the_steps_that_are_noise(alpha, wanted):
    assert share(10, 990, 5.0, alpha) == pytest.approx(wanted, abs=1e-4)
