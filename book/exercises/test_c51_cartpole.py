import numpy as np
import pytest
from c51_cartpole import distribution, project, sight

Z, P = np.arange(-2.0, 3), np.array([0.1, 0.2, 0.4, 0.2, 0.1])


@pytest.mark.parametrize(
    ("reward", "discount", "wanted"),
    [
        (0.5, 0.9, [0.03, 0.15, 0.32, 0.32, 0.18]),
        (0.7, 0, [0, 0, 0.3, 0.7, 0]),  # terminated
        (1, 1, [0, 0.1, 0.2, 0.4, 0.3]),  # every atom on the next one, the last one beyond the grid
        (-9, 1, [1, 0, 0, 0, 0]),
    ],
)
def test_project_by_hand(reward, discount, wanted):
    np.testing.assert_allclose(project(P, Z, reward, discount), wanted, atol=1e-9)


def test_project_onto_atoms_two_apart():
    # 1 + 0.5 * 4 = 3 lies halfway between 2 and 4, 1 + 0.5 * 0 = 1 between 0 and 2
    z, p = np.arange(0, 6.0, 2), np.array([0.2, 0, 0.8])
    np.testing.assert_allclose(project(p, z, 1, 0.5), [0.1, 0.5, 0.4])


def test_distribution_by_hand():
    z = np.arange(3.0)
    for k, wanted in ((1, [0, 1, 0]), (2, [0, 0.5, 0.5]), (3, [0, 0.25, 0.75])):
        np.testing.assert_allclose(distribution(k, z, 0.5), wanted)


def test_distribution_has_the_right_mean_and_a_width():
    z = np.linspace(0, 100, 51)
    for k, width in ((1, 1.00), (10, 3.02), (50, 5.44)):
        p = distribution(k, z, 0.99)
        mean = p @ z
        np.testing.assert_allclose([p.sum(), mean], [1, (1 - 0.99**k) / 0.01])
        assert np.sqrt(p @ (z - mean) ** 2) == pytest.approx(width, abs=0.005)


@pytest.mark.parametrize(("v_max", "gamma", "wanted"), [(20, 0.99, 23), (50, 0.99, 69), (1.6, 0.5, 3), (1.2, 0.5, 2)])
def test_sight(v_max, gamma, wanted):
    assert sight(v_max, gamma) == wanted
