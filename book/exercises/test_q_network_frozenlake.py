import numpy as np
from q_network_frozenlake import follow, full_gradient, new_entry, semi_gradient

Q = np.array([[0.1, 0.4], [0.5, 0.2], [0.8, 0.3]])


def test_semi_gradient_has_one_entry():
    np.testing.assert_allclose(semi_gradient(Q, 0, 1, 0.72), [[0, -0.64], [0, 0], [0, 0]])
    np.testing.assert_allclose(semi_gradient(Q, 2, 0, 0.3), [[0, 0], [0, 0], [1.0, 0]])


def test_full_gradient_also_moves_the_target():
    expected = [[0, -0.64], [0, 0], [0.576, 0]]  # 2 * 0.9 * 0.32
    np.testing.assert_allclose(full_gradient(Q, 0, 1, 0.0, False, 2, 0.9), expected)


def test_full_gradient_adds_up_where_a_state_leads_back_to_itself():
    expected = [[0, 0], [-0.19, 0], [0, 0]]  # the error is 1 + 0.9 * 0.5 - 0.5 = 0.95, times -2 * (1 - 0.9)
    np.testing.assert_allclose(full_gradient(Q, 1, 0, 1.0, False, 1, 0.9), expected, atol=1e-12)


def test_full_gradient_of_a_last_step_has_one_entry():
    np.testing.assert_allclose(full_gradient(Q, 0, 1, 1.0, True, 2, 0.9), [[0, -1.2], [0, 0], [0, 0]])


def test_follow():
    np.testing.assert_allclose(follow(0.0, 1.0, 0.9, 0.5, 3), [0.5, 0.975, 1.42625])
    np.testing.assert_allclose(follow(0.0, 2.0, 0.5, 1.0, 60)[-1], 4)


def test_new_entry_of_one_visit_is_a_share_of_the_mean():
    np.testing.assert_allclose(new_entry(0.0, [1.0], 0.5, 32), 0.03125)
    np.testing.assert_allclose(new_entry(0.0, [1.0], 0.5, 1), 1)


def test_new_entry_adds_up_the_visits():
    np.testing.assert_allclose(new_entry(0.25, [1.0, 1.0, 0.5], 0.1, 2), 0.425)  # 0.25 + 0.1 * (0.75 + 0.75 + 0.25)
