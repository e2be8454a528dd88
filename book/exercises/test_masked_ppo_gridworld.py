import numpy as np
from masked_ppo_gridworld import distances, masked_softmax, mean_steps, slopes

from envs.masked import MOVES

LOGITS, MASK = np.log([0.7, 0.2, 0.1]), np.array([True, False, True])


def test_masked_softmax_keeps_the_proportion_of_the_others():
    found = masked_softmax(LOGITS, MASK)
    np.testing.assert_allclose(found, [0.875, 0, 0.125])
    assert found[1] == 0


def test_masked_softmax_whatever_the_forbidden_logit_is():
    np.testing.assert_allclose(masked_softmax(np.array([0.0, 1000.0, 0.0]), MASK), [0.5, 0, 0.5])


def test_slopes_of_each_allowed_action():
    np.testing.assert_allclose(slopes(LOGITS, MASK, 0), [0.125, 0, -0.125])
    np.testing.assert_allclose(slopes(LOGITS, MASK, 2), [-0.875, 0, 0.875])


def test_distances_on_a_ring_of_five_cells():
    ring = {cell: [(cell + 1) % 5, None, (cell - 1) % 5] for cell in range(5)}
    assert distances(ring, 0) == {0: 0, 1: 1, 2: 2, 3: 2, 4: 1}


def test_distances_of_the_gridworld():
    ways = [steps for goal in MOVES for cell, steps in distances(MOVES, goal).items() if cell != goal]
    assert len(ways) == 48 * 47 and round(sum(ways) / len(ways), 2) == 3.03


def test_mean_steps_with_and_without_the_mask():
    np.testing.assert_allclose([mean_steps(False), mean_steps(True)], [249.5, 90.3], atol=0.05)
