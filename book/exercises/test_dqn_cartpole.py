import numpy as np
import pytest
from dqn_cartpole import target, value, work


def test_target_by_hand():
    # 1 + 0.99 * 5 = 5.95; the second game terminated; 0 + 0.5 * 8 = 4, and its best action is the other one
    reward, discount = np.array([1.0, 1, 0]), np.array([0.99, 0, 0.5])
    np.testing.assert_allclose(target(reward, discount, np.array([[5.0, 3], [5, 3], [-1, 8]])), [5.95, 1, 4])


def test_work_counts_the_rounds_from_the_start_of_learning_on():
    # Of the 10 multiples of 10 up to 100, the two up to 25 come too early: 8 rounds of 3 updates on 4 steps each.
    assert work(100, 25, 10, 3, 4) == pytest.approx((24, 0.96))


def test_work_of_the_defaults_and_of_one_update_after_every_four_steps():
    assert work(50_000, 1_000, 64, 32, 64) == pytest.approx((24_512, 31.37536))
    assert work(1_000_000, 0, 4, 1, 32) == pytest.approx((250_000, 8))


@pytest.mark.parametrize(("k", "wanted"), [(1, 1), (2, 1.99), (50, 39.4994), (100, 63.3968)])
def test_value_of_a_state_before_the_fall(k, wanted):
    assert value(k) == pytest.approx(wanted, abs=1e-4)


def test_value_with_another_discount():
    assert value(3, 0.5) == pytest.approx(1.75)  # 1 + 0.5 + 0.25
