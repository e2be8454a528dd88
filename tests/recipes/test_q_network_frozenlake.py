"""A table as a network: targets and losses by hand, descent that is the table's update, an exact score."""

import json

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes.q_network_frozenlake import (
    build_q_network,
    epsilon_at,
    make_act,
    make_update,
    squared_error,
    td_target,
    train,
)


def test_the_target_by_hand_and_nothing_after_the_end():
    next_q = tf.constant([[5.0, 3.0], [5.0, 3.0]])
    y = td_target(tf.constant([1.0, 1.0]), tf.constant([0.0, 1.0]), next_q, 0.99)
    np.testing.assert_allclose(y, [1 + 0.99 * 5, 1.0])


def test_the_loss_by_hand_counts_only_games_that_are_on():
    loss = squared_error(tf.constant([1.0, 2.0, 9.0]), tf.constant([2.0, 5.0, 0.0]), tf.constant([1.0, 1.0, 0.0]))
    assert float(loss) == 5.0  # ((2 - 1)² + (5 - 2)²) / 2; the third game is over


def test_the_other_three_outputs_add_nothing():
    """The text's loss is a sum over all four actions, with the prediction itself as the target of the other three."""
    q, y = tf.constant([[0.1, 0.4, 0.2, 0.3]]), tf.constant([0.9])
    target = tf.tensor_scatter_nd_update(q, [[0, 1]], y)
    assert float(tf.reduce_sum((target - q) ** 2)) == float(squared_error(q[:, 1], y, tf.ones(1)))


def test_one_update_is_the_tables_update():
    model = build_q_network(3, 2)
    table = np.array([[0.5, 0.0], [0.0, 2.0], [7.0, 7.0]], np.float32)
    model.set_weights([table])
    update = make_update(model, keras.optimizers.SGD(0.25), gamma=0.5)
    f = lambda *numbers: np.array(numbers, np.float32)  # noqa: E731
    update(np.array([0, 1]), np.array([0, 1]), np.array([1, 2]), f(1, 3), f(0, 1), f(1, 1))
    # Two games: Q[0, 0] moves by 0.25 * 2 * (1 + 0.5 * 2 - 0.5) / 2 = 0.375, Q[1, 1] by 0.25 * 2 * (3 - 2) / 2 = 0.25.
    wanted = table + [[0.375, 0], [0, 0.25], [0, 0]]
    np.testing.assert_allclose(model.get_weights()[0], wanted, atol=1e-6)
    np.testing.assert_allclose(model(np.arange(3)), wanted, atol=1e-6)  # the weights are the table


def test_one_trace_and_a_falling_loss():
    keras.utils.set_random_seed(0)
    model = build_q_network(16, 4)
    act, update = make_act(model), make_update(model, keras.optimizers.SGD(0.5), 0.99)
    rng, ones = np.random.default_rng(0), np.ones(8, np.float32)
    batch = rng.integers(16, size=8), rng.integers(4, size=8), rng.integers(16, size=8), ones, ones, ones
    losses = [float(update(*batch)) for _ in range(50)]
    assert losses[-1] < 0.1 * losses[0]
    np.testing.assert_array_equal(act(np.arange(16)), model(np.arange(16)).numpy().argmax(-1))
    act(np.arange(16)[::-1].copy())
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1


def test_epsilon_by_hand():
    assert [epsilon_at(step, 50, 0.1) for step in (0, 50, 100, 10_000)] == [1, 0.5, pytest.approx(1 / 3), 0.1]


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "episodes"), [(2.0, 6400), (1e-30, 320)])
def test_it_learns_the_lake_and_its_twin_without_learning_does_not(tmp_path, learning_rate, episodes):
    train(seed=11, logdir=str(tmp_path / "run"), learning_rate=learning_rate, episodes=episodes)
    success = json.loads((tmp_path / "run" / "evaluation.json").read_text())["success_probability"]
    assert (success >= 0.70) == (learning_rate > 1e-9), success
    assert {"reward.png", "length.png", "action_values.png", "policy.png"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
