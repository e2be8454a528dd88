import numpy as np
import pytest
import tensorflow as tf
from compiled_ppo_cartpole import order, traced_once, updates


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ((600_000, 32, 32, 1, 1024), (586, 586)),  # 585.9 rollouts
        ((60_000, 16, 64, 8, 256), (59, 1888)),  # 58.6 rollouts of 8 * 4 updates
        ((1024, 16, 64, 8, 256), (1, 32)),
        ((1025, 16, 64, 2, 512), (2, 8)),
    ],
)
def test_updates(settings, wanted):
    assert tuple(updates(*settings)) == wanted


def test_order_is_a_permutation_and_another_in_each_epoch():
    compiled = tf.function(lambda seed, epoch: order(seed, epoch, 50), jit_compile=True)
    found = [compiled(tf.constant(seed), tf.constant(epoch)).numpy() for seed, epoch in ((3, 0), (3, 1), (4, 0))]
    for rows in found:
        np.testing.assert_array_equal(np.sort(rows), np.arange(50))
        assert (rows != np.arange(50)).any()
    assert (found[0] != found[1]).any() and (found[0] != found[2]).any()


def test_order_is_the_same_for_the_same_seed():
    first, again = (np.array(order(5, 2, 50)) for _ in range(2))
    assert first.shape == (50,) and (first == again).all()


def test_order_may_be_any_of_them():
    found = {tuple(np.array(order(seed, 0, 4)).tolist()) for seed in range(60)}
    assert {rows[0] for rows in found} == {0, 1, 2, 3}
    assert len(found) > 12  # of 24


def test_traced_once():
    calls = []

    def function(x, number):
        calls.append(number)  # a side effect of Python: it happens when the function is traced
        return number * x

    scale = traced_once(function)
    for number in (0.25, 0.5, 2, 3):
        np.testing.assert_allclose(scale(tf.constant([1.0, 2.0]), number), [number, 2 * number])
    assert len(calls) == 1
