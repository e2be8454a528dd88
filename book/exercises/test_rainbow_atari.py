import numpy as np
import pytest
from rainbow_atari import find, noisy_layer, project

from common.replay import SumTree


def test_find_is_the_first_row_whose_prefix_sum_is_larger():
    assert [find(np.array([1.0, 2, 3]), number) for number in (0, 0.9, 1, 2.9, 3, 5.9)] == [0, 0, 1, 1, 2, 2]
    assert [find(np.array([0.5, 1, 2, 4]) ** 0.6, number) for number in (0.65, 0.66, 3.2)] == [0, 1, 3]


def test_find_agrees_with_the_tree_also_where_rows_have_no_priority():
    priorities, tree = np.array([0.0, 2, 0, 1, 4]), SumTree(5)
    tree.set(np.arange(5), priorities)
    numbers = np.arange(0, 7, 0.5)
    assert [find(priorities, number) for number in numbers] == tree.find(numbers).tolist()


@pytest.mark.parametrize(
    ("reward", "gamma", "wanted"),
    [
        (0.5, 0.9, [0.03, 0.15, 0.32, 0.32, 0.18]),
        (0.7, 0, [0, 0, 0.3, 0.7, 0]),  # terminated
        (1, 1, [0, 0.1, 0.2, 0.4, 0.3]),  # the last atom would land beyond the others
    ],
)
def test_project(reward, gamma, wanted):
    found = project(reward, gamma, np.array([0.1, 0.2, 0.4, 0.2, 0.1]), np.arange(-2.0, 3))
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_project_onto_atoms_two_apart():
    # 1 + 0.5 * 4 = 3 lies halfway between 2 and 4, 1 + 0.5 * 0 = 1 between 0 and 2
    np.testing.assert_allclose(project(1, 0.5, np.array([0.2, 0, 0.8]), np.arange(0, 6.0, 2)), [0.1, 0.5, 0.4])


def test_noisy_layer_by_hand():
    # mu + sigma * outer = [[1 + 1 * 2 * 3], [0 + 2 * -1 * 3]] = [[7], [-6]]
    x, mu, sigma = np.array([[1.0, 1], [2, 1]]), np.array([[1.0], [0]]), np.array([[1.0], [2]])
    np.testing.assert_allclose(noisy_layer(x, mu, sigma, np.array([2.0, -1]), np.array([3.0])), [[1], [8]])


def test_noisy_layer_is_the_matrix_with_its_noise():
    rng = np.random.default_rng(0)
    x, mu, sigma = rng.normal(size=(5, 3)), rng.normal(size=(3, 2)), rng.random((3, 2))
    of_input, of_output = rng.normal(size=3), rng.normal(size=2)
    wanted = x @ (mu + sigma * np.outer(of_input, of_output))
    np.testing.assert_allclose(noisy_layer(x, mu, sigma, of_input, of_output), wanted)


def test_noisy_layer_takes_noise_of_its_own_for_each_row():
    rng = np.random.default_rng(1)
    x, mu, sigma = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.random((3, 2))
    of_input, of_output = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    wanted = [x[i] @ (mu + sigma * np.outer(of_input[i], of_output[i])) for i in range(2)]
    np.testing.assert_allclose(noisy_layer(x, mu, sigma, of_input, of_output), wanted)
