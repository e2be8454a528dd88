"""Prioritized DQN: the weights by hand, and who is drawn."""

import numpy as np
import pytest

from common.lazy import keras
from recipes import prioritized_dqn_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip


def test_the_weights_by_hand():
    probability = np.array([[0.12055, 0.18272, 0.27695, 0.41978]])  # of the errors 0.5, 1, 2, 4 to the power of 0.6
    np.testing.assert_allclose(recipe.importance_weights(probability, 0.4), [[1, 0.84675, 0.71698, 0.60710]], atol=2e-5)
    np.testing.assert_array_equal(recipe.importance_weights(probability, 0.0), np.ones((1, 4)))


def test_the_update_weighs_each_row_and_returns_its_error():
    model = recipe.build_q_network(1, 2, 2)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()[:-1]] + [np.array([1.0, 2.0], np.float32)])
    update = recipe.make_update(model, model, keras.optimizers.SGD(0.0), 0.99)
    obs, terminated = np.zeros((1, 2, 1), np.float32), np.ones((1, 2), np.float32)
    reward, weight = np.array([[4.0, 2.5]], np.float32), np.array([[0.5, 1.0]], np.float32)
    loss, errors = update(obs, np.array([[0, 1]]), reward, obs, terminated, weight)
    np.testing.assert_allclose(errors, [[3.0, 0.5]])
    assert float(loss) == pytest.approx((0.5 * 3.0**2 + 1.0 * 0.5**2) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    outputs = keras.models.load_model(run / "model.keras")(np.array([[0.0], [1.0]], np.float32))
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q
