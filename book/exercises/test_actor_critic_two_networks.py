import numpy as np
import pytest
from actor_critic_two_networks import best_policy, entropy, slopes, value_of_start


def test_entropy_by_hand():
    # 0.7 * 0.356675 + 0.2 * 1.609438 + 0.1 * 2.302585 = 0.801819, and ln 3 of three equal probabilities
    logits = np.log([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(entropy(logits), [0.8018186, 1.0986123], atol=1e-6)
    np.testing.assert_allclose(entropy(logits + 7), [0.8018186, 1.0986123], atol=1e-6)  # logits, not logarithms


def test_entropy_of_a_certain_policy_is_zero_and_no_nan():
    np.testing.assert_allclose(entropy(np.array([[1000.0, 0.0], [0.0, -1000.0]])), [0, 0], atol=1e-12)


def test_slopes_of_the_example():
    np.testing.assert_allclose(slopes(np.array([0.9, 0.5])), [0.5, -0.1], atol=1e-6)
    np.testing.assert_allclose(slopes(np.array([90.0, 50.0])), [0.5, -0.5], atol=1e-6)
    np.testing.assert_allclose(slopes(np.array([0.5, 0.9])), [-0.5, -0.1], atol=1e-6)  # the other action was better


def test_best_policy_by_hand():
    # Two actions: 1 / (1 + exp(-(1 - -1) / weight)).
    for weight, better in ((1.0, 0.8807971), (0.5, 0.9820138), (0.001, 1.0)):
        np.testing.assert_allclose(best_policy(np.array([1.0, -1.0]), weight), [better, 1 - better], atol=1e-6)


def test_best_policy_beats_others():
    advantage, weight = np.array([0.5, 0.2, -1.0]), 0.3
    policies = np.random.default_rng(0).dirichlet([1, 1, 1], 1000)
    objective = lambda policy: policy @ advantage - weight * (policy * np.log(policy)).sum(-1)  # noqa: E731
    assert (objective(best_policy(advantage, weight)) > objective(policies)).all()


@pytest.mark.parametrize(
    ("length", "beyond", "gamma", "value"),
    [(9, 0, 0.99, 0.086483), (9, 2, 0.99, 1.913517), (500, 2, 0.99, 1.006570), (9, 1, 0.99, 1), (2, 3, 0.5, 1.5)],
)
def test_value_of_start(length, beyond, gamma, value):
    np.testing.assert_allclose(value_of_start(length, beyond, gamma), value, atol=1e-5)
