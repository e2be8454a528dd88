"""QR-DQN: its loss by hand, and quantiles that are known."""

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import qr_dqn_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
    "quantiles": 11,
}  # fmt: skip


def test_the_loss_by_hand():
    assert float(recipe.quantile_loss(tf.constant([[0.0, 2]]), tf.constant([[1.0, 3]]))) == pytest.approx(0.625)
    theta, y = tf.constant([[0.0, 1, 2]]), tf.constant([[0.5, -1, 3]])
    assert float(recipe.quantile_loss(theta, y)) == pytest.approx(1.1388889)


def test_the_quantiles_of_a_uniform_distribution_are_found():
    theta, rng = tf.Variable([[0.0] * 4]), np.random.default_rng(0)
    for rate in np.linspace(0.05, 0, 2000):
        with tf.GradientTape() as tape:
            # Widened, because Huber's loss is a square up to an error of 1.
            loss = recipe.quantile_loss(theta, tf.constant(100 * rng.random((1, 64)), tf.float32))
        theta.assign_sub(50 * rate * tape.gradient(loss, theta))
    np.testing.assert_allclose(theta[0], [12.5, 37.5, 62.5, 87.5], atol=4)


def test_q_is_the_mean_of_the_quantiles():
    model = recipe.build_q_network(4, 3, 8, 5)
    q, quantiles = model(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    assert quantiles.shape == (6, 3, 5)
    np.testing.assert_allclose(q, np.mean(quantiles, axis=-1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    outputs = keras.models.load_model(run / "model.keras")(np.array([[0.0], [1.0]], np.float32))
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q
