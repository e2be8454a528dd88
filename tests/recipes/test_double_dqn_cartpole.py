"""Double DQN: the network chooses, the target network judges."""

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import double_dqn_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip


def test_the_target_by_hand():
    next_q, chooser_q = tf.constant([[5.0, 3.0], [5.0, 3.0]]), tf.constant([[1.0, 2.0], [1.0, 2.0]])
    # The network prefers the second action, which the target network values at 3: 1 + 0.99 * 3 = 3.97.
    y = recipe.td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), next_q, chooser_q)
    np.testing.assert_allclose(y, [3.97, 1.0], rtol=1e-6)


def test_the_update_asks_the_network_and_takes_the_value_from_the_target():
    def constant(q):
        model = recipe.build_q_network(1, 2, 2)
        model.set_weights([np.zeros_like(w) for w in model.get_weights()[:-1]] + [np.array(q, np.float32)])
        return model

    model = constant([1.0, 2.0])
    update = recipe.make_update(model, constant([5.0, 3.0]), keras.optimizers.SGD(0.0), 0.99)
    obs, one = np.zeros((1, 1, 1), np.float32), np.ones((1, 1), np.float32)
    loss = float(update(obs, np.array([[0]]), one, obs, 0 * one))
    assert loss == pytest.approx(8.8209)  # (3.97 - 1)²; DQN's error is 4.95


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    outputs = keras.models.load_model(run / "model.keras")(np.array([[0.0], [1.0]], np.float32))
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q
