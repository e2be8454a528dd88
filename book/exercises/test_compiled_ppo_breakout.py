import numpy as np
import pytest
import tensorflow as tf
from compiled_ppo_breakout import fly, patches, products


def test_patches_of_one_plane():
    planes = np.arange(1, 13).reshape(1, 3, 4, 1)  # rows 1 to 4, 5 to 8, 9 to 12
    found = patches(planes)
    assert found.shape == (1, 1, 2, 9)
    assert found[0, 0, 0].tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert found[0, 0, 1].tolist() == [2, 3, 4, 6, 7, 8, 10, 11, 12]


def test_patches_times_a_matrix_are_a_convolution():
    rng = np.random.default_rng(0)
    planes, kernel = rng.normal(size=(2, 6, 5, 4)), rng.normal(size=(3, 3, 4, 7))
    found = patches(planes) @ kernel.reshape(36, 7)
    np.testing.assert_allclose(found, tf.nn.conv2d(planes, kernel, 1, "VALID"), atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (((10, 10, 4), 16, 64, 3), (36_864, 65_536, 192)),  # 64 * 36 * 16, 64 * 16 * 64, 64 * 3
        (((10, 10, 4), 0, 64, 3), (25_600, 4_096, 192)),  # 400 * 64, 64 * 64, 64 * 3
        (((5, 4, 2), 3, 10, 2), (324, 180, 20)),  # 6 * 18 * 3, 6 * 3 * 10, 10 * 2
    ],
)
def test_products(settings, wanted):
    assert tuple(products(*settings)) == wanted


def state(*rows):
    """Columns of integers from rows of x, y, dx, dy."""
    return [tf.constant(column) for column in zip(*rows, strict=True)]


def test_fly_by_hand():
    found = fly(*state((5, 5, 1, -1), (9, 5, 1, -1), (0, 5, -1, 1), (5, 0, 1, -1), (9, 0, 1, -1)), 10)
    wanted = state((6, 4, 1, -1), (9, 4, -1, -1), (0, 6, 1, 1), (6, 0, 1, 1), (9, 0, -1, 1))
    np.testing.assert_array_equal(np.stack(found), np.stack(wanted))


def test_fly_is_traced_once_and_stays_in_the_room():
    step = tf.function(lambda *ball: fly(*ball, 10), jit_compile=True)
    rng = np.random.default_rng(0)
    ball = [tf.constant(rng.choice(values, 50)) for values in (np.arange(10), np.arange(10), [-1, 1], [-1, 1])]
    for _ in range(40):
        ball = step(*ball)
        x, y, dx, dy = map(np.array, ball)
        assert ((x >= 0) & (x <= 9) & (y >= 0) & (abs(dx) == 1) & (abs(dy) == 1)).all()
    assert (dy == 1).all() and step.experimental_get_tracing_count() == 1  # all came down again
