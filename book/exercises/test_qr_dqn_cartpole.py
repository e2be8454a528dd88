import numpy as np
import pytest
from qr_dqn_cartpole import learnt, quantile_loss, rho

from recipes.qr_dqn_cartpole import quantile_loss as recipes_loss


def test_rho_by_hand():
    np.testing.assert_allclose(rho(0.9, np.array([2.0, -2, 0])), [1.8, 0.2, 0])


@pytest.mark.parametrize(("tau", "wanted"), [(0.5, 3), (0.7, 4), (0.9, 10)])
def test_rho_has_the_quantile_as_its_minimum(tau, wanted):
    returns, guesses = np.array([1.0, 2, 3, 4, 10]), np.arange(0, 1101) / 100
    assert guesses[np.argmin([rho(tau, returns - guess).mean() for guess in guesses])] == wanted


def test_quantile_loss_by_hand():
    assert quantile_loss(np.array([0.0, 2]), np.array([1.0, 3])) == pytest.approx(0.625)


def test_quantile_loss_is_the_recipes_also_with_more_targets_than_predictions():
    theta, y = np.random.default_rng(0).normal(size=5).astype(np.float32), np.arange(-3, 4, dtype=np.float32)
    assert quantile_loss(theta, y) == pytest.approx(float(recipes_loss(theta[None], y[None])), rel=1e-5)


def test_learnt_are_expectiles():
    # 0.025 / (0.025 + 0.675) and 0.075 / (0.075 + 0.225)
    np.testing.assert_allclose(learnt(0.1, 2), [1 / 28, 1 / 4])
    for n, mean in ((1, 0.1), (2, 0.1429), (51, 0.1838)):
        assert np.mean(learnt(0.1, n)) == pytest.approx(mean, abs=1e-4)
