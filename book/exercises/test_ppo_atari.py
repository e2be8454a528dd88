import numpy as np
import pytest
from ppo_atari import advantages, products, steps_per_second, to_bfloat16

ROLLOUT = {
    "reward": [1, 0, 0, 1, 0, -1],
    "value": [0.5, 1, 0.5, 1, 2, -0.5, 1],
    "lost": [0, 1, 0, 0, 0, 0],
    "terminated": [0, 0, 0, 0, 0, 0],
    "truncated": [0, 0, 0, 1, 0, 0],
}


def test_advantages_of_a_lost_life_a_truncation_and_a_reset():
    # 1.4 - .72; 0 + 0 - 1; .4 + .72 * 1.8; 1 + .9 * 2 - 1; only resets; -1 + .9 + .5
    found = advantages(**ROLLOUT, gamma=0.9, gae_lambda=0.8)
    np.testing.assert_allclose(found, [0.68, -1, 1.696, 1.8, 0, 0.4], atol=1e-12)


def test_advantages_of_a_termination_that_nothing_of_the_rows_after_it_reaches():
    # 1 + .9 - .5 + .72 * -1; 0 + 0 - 1; only resets, although it pays; -1 + .9 - 2
    game = {"reward": [1, 0, 2, -1], "value": [0.5, 1, -0.5, 2, 1], "lost": [0] * 4, "truncated": [0] * 4}
    found = advantages(**game, terminated=[0, 1, 0, 0], gamma=0.9, gae_lambda=0.8)
    np.testing.assert_allclose(found, [0.68, -1, 0, -2.1], atol=1e-12)


def test_advantages_where_no_life_counts():
    found = advantages(**{**ROLLOUT, "lost": [0] * 6}, gamma=0.9, gae_lambda=0.8)
    # -.55 + .72 * 1.696 = .67112; 1.4 + .72 * .67112
    np.testing.assert_allclose(found[:2], [1.8832064, 0.67112], atol=1e-12)


def test_products_by_hand():
    assert products((1, 4, 4), ((2, 3, 1),), 5, 3) == 2 * 2 * 2 * 9 + 8 * 5 + 5 * 3
    assert products((3, 5, 7), ((4, 3, 2), (6, 1, 1)), 2, 1) == 2 * 3 * 4 * 27 + 2 * 3 * 6 * 4 + 36 * 2 + 2


@pytest.mark.parametrize(
    ("shape", "convolutions", "units", "wanted"),
    [
        ((4, 84, 84), ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, 9_346_560),
        ((4, 84, 84), ((16, 8, 4), (32, 4, 2), (32, 3, 1)), 256, 3_156_736),
    ],
)
def test_products_of_both_networks_with_six_actions_and_a_value(shape, convolutions, units, wanted):
    assert products(shape, convolutions, units, 7) == wanted


def test_to_bfloat16_keeps_every_shade_of_gray():
    shades = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(to_bfloat16(shades), shades)


def test_to_bfloat16_rounds_to_the_nearest_and_a_tie_to_the_even_one():
    # beyond 256 the gap is 2, between 1 and 2 it is 1 / 128, between 2 and 4 it is 1 / 64
    x = np.float32([257, 259, 1 + 1 / 256, 1 + 3 / 256, 3.14159274, -1 / 3, 0.1])
    wanted = [256, 260, 1, 1 + 2 / 128, 201 / 64, -171 / 512, 205 / 2048]
    np.testing.assert_array_equal(to_bfloat16(x), np.float32(wanted))


def test_to_bfloat16_has_the_range_of_float32():
    x = np.float32([1e-30, -1e30])
    np.testing.assert_allclose(to_bfloat16(x), x, rtol=1 / 256)
    assert not np.array_equal(to_bfloat16(x), x)


def test_steps_per_second_by_hand():
    # a step costs (.004 + .004) / 16 = .0005 s of play and .064 / 256 = .00025 s in each pass
    found = [steps_per_second(16, 0.004, 0.004, 256, 0.064, epochs) for epochs in (0, 2, 6)]
    np.testing.assert_allclose(found, [2000, 1000, 500])
    np.testing.assert_allclose(steps_per_second(8, 0.006, 0.002, 128, 0.064, 2), 500)
