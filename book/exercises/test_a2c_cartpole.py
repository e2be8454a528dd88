from itertools import product

import numpy as np
from a2c_cartpole import advantages, advantages_with_ends, bias_and_variance, slopes_in_logits

REWARD, VALUE = np.array([1.0, 0, 2, -1]), np.array([0.5, 1, -0.5, 2, 1])
ENDED = np.array([False, True, False, False])


def test_advantages_of_four_steps():
    # errors 1.4, -1.45, 4.3, -2.1; 4.3 - .72 * 2.1 = 2.788; -1.45 + .72 * 2.788 = .55736; 1.4 + .72 * .55736
    np.testing.assert_allclose(advantages(REWARD, VALUE, 0.9, 0.8), [1.8012992, 0.55736, 2.788, -2.1])


def test_advantages_at_both_ends_of_lambda():
    np.testing.assert_allclose(advantages(REWARD, VALUE, 0.9, 0), [1.4, -1.45, 4.3, -2.1])
    # with 1 the rewards and the last value, less the first value: 1 + .81 * 2 - .729 + .6561 - .5
    np.testing.assert_allclose(advantages(REWARD, VALUE, 0.9, 1)[0], 2.0471)


def test_bias_and_variance_of_all_games():
    rewards, value = np.array(list(product((-1, 1), repeat=10))), np.array([0] + 9 * [2] + [0])
    delta = rewards + value[1:] - value[:-1]  # [1024, 10]
    for lam in (0, 0.5, 0.95, 1):
        first = delta @ lam ** np.arange(10.0)
        np.testing.assert_allclose(bias_and_variance(lam), [first.mean(), first.var()], atol=1e-9)


def test_advantages_with_ends_are_those_of_the_table():
    for terminated, expected in ((ENDED, [0.68, -1, 2.788, -2.1]), (np.zeros(4, bool), [0.356, -1.45, 2.788, -2.1])):
        found = advantages_with_ends(REWARD, terminated, ENDED, VALUE, 0.9, 0.8)
        np.testing.assert_allclose(found, expected)


def test_advantages_with_ends_hear_nothing_of_the_next_game():
    found = advantages_with_ends(np.array([1, 0, 1e6, 1e6]), ENDED, ENDED, VALUE, 0.9, 0.8)
    np.testing.assert_allclose(found[:2], [0.68, -1])


def test_slopes_in_logits():
    probabilities = np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(slopes_in_logits(probabilities, 0, 2.0), [-0.6, 0.4, 0.2])
    np.testing.assert_allclose(slopes_in_logits(probabilities, 2, -1.0), [-0.7, -0.2, 0.9])
