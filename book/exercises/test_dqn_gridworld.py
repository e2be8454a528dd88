import numpy as np
import pytest
from dqn_gridworld import field, next_image, response, weight

from envs.grids import Grid


def test_response_by_hand():
    image = np.arange(9.0).reshape(3, 3, 1)
    pattern = np.array([[0.0, 1], [2, 0]])[..., None]  # 1 + 2 * 3 = 7 in the first place; flipped it would be 5
    np.testing.assert_allclose(response(image, pattern), [[7, 10], [16, 19]])


def test_response_moves_with_what_it_sees():
    pattern = np.zeros((2, 2, 3))
    pattern[0, 0, 1] = pattern[0, 1, 2] = 1  # the agent, and the goal on its right
    for y, x in np.ndindex(4, 4):
        image = np.zeros((5, 6, 3))
        image[y, x, 1] = image[y, x + 1, 2] = 1
        answer = response(image, pattern)
        assert answer.shape == (4, 5) and answer[y, x] == 2 and np.sum(answer == 2) == 1


def test_field_of_this_network_and_of_the_one_for_atari():
    assert field([(4, 2)]) == 4
    assert field([(3, 1), (3, 1)]) == 5
    assert field([(4, 2), (3, 1), (3, 1)]) == 12
    assert field([(8, 4), (4, 2), (3, 1)]) == 36


@pytest.mark.parametrize("task", ["simple", "obstacle", "random_goal"])
def test_next_image_is_that_of_the_grid(task):
    grid = Grid(task, observation="grid")
    for goal in grid.goals[::8] if grid.goal is None else [grid.goal]:
        cells = np.flatnonzero(~grid.walls & (np.arange(grid.walls.size) != goal))
        goals = np.full(len(cells), goal)
        images = grid.observe(cells, goals)
        for action, move in enumerate(grid.task.moves):
            landed, _, _ = grid.step(cells, goals, np.full(len(cells), action))
            expected = grid.observe(landed, goals)
            for image, after in zip(images, expected, strict=True):
                before = image.copy()
                np.testing.assert_array_equal(next_image(image, move), after)
                np.testing.assert_array_equal(image, before)


def test_weight_without_a_target_network():
    assert weight(0.9, 0.1, 1, 1) == pytest.approx(1.08)  # 1 + 0.1 * (0.9 * 2 * 1 - 1)
    assert weight(0.9, 0.1, 2, 1) == pytest.approx(1.08**2)
    assert weight(0.4, 0.1, 100, 1) == pytest.approx(0.98**100)


def test_weight_with_a_target_network():
    assert weight(0.9, 0.1, 2, 5) == pytest.approx(1.152)  # 1.08 + 0.1 * (1.8 - 1.08), as the copy is still 1
    copied = 1.8 - 0.8 * 0.9**25  # 25 updates towards the target 1.8
    assert weight(0.9, 0.1, 100, 25) == pytest.approx(copied**4)
    assert weight(0.4, 0.1, 100, 25) == pytest.approx((0.8 + 0.2 * 0.9**25) ** 4)
