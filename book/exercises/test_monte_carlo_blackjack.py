import numpy as np
import pytest
from monte_carlo_blackjack import first_visit_returns, mean_and_error, updated


def test_updated_is_the_mean_of_all_returns_so_far():
    returns, mean = np.array([1.0, -1, -1, 1, -1, 3]), 0.0
    for n, new in enumerate(returns, 1):
        mean = updated(mean, n, new)
        assert mean == pytest.approx(returns[:n].mean())


def test_mean_and_error():
    # Deviation 1 of four returns, 1 / 2; of sixteen such returns 1 / 4.
    for repeats, wanted in ((1, 0.5), (4, 0.25)):
        assert mean_and_error(np.array([1.0, -1, -1, 1] * repeats)) == pytest.approx((0, wanted))
    assert mean_and_error(np.array([2.0, 4])) == pytest.approx((3, 1 / 2**0.5))


def test_first_visit_returns_of_a_pair_that_comes_twice():
    # 4 from the last step on, 2 + 0.5 * 4 = 4 from the second, 1 + 0.5 * 4 = 3 from the first
    game = [(7, 0), (8, 1), (7, 0)]
    assert first_visit_returns(game, [1, 2, 4], 0.5) == {(7, 0): 3, (8, 1): 4}


def test_first_visit_returns_tell_the_actions_of_a_state_apart():
    assert first_visit_returns([(7, 1), (7, 0)], [0, -1], 1.0) == {(7, 1): -1, (7, 0): -1}
    assert first_visit_returns([(7, 1), (7, 0)], [2, -1], 1.0) == {(7, 1): 1, (7, 0): -1}
