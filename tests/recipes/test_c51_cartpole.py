"""C51: the projection by hand, the network's two outputs, and a distribution that is known."""

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import c51_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
    "v_min": -1.0, "v_max": 2.0, "atoms": 31,
}  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "discount", "expected"),
    [
        (0.5, 0.9, [0.03, 0.15, 0.32, 0.32, 0.18]),
        (0.7, 0.0, [0.0, 0.0, 0.3, 0.7, 0.0]),  # terminated: the reward alone
        (1.0, 1.0, [0.0, 0.1, 0.2, 0.4, 0.3]),  # what lies above the highest atom counts as this one
    ],
)
def test_the_projection_by_hand(reward, discount, expected):
    z, p = tf.constant([-2.0, -1, 0, 1, 2]), tf.constant([[0.1, 0.2, 0.4, 0.2, 0.1]])
    np.testing.assert_allclose(
        recipe.project(p, z, tf.constant([reward]), tf.constant([discount])), [expected], atol=1e-6
    )


def test_q_is_the_mean_of_the_distribution():
    z = np.linspace(-2, 2, 5, dtype=np.float32)
    model = recipe.build_q_network(4, 3, 8, z)
    q, logits = model(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    assert q.shape == (6, 3) and logits.shape == (6, 3, 5)
    np.testing.assert_allclose(q, tf.reduce_sum(tf.nn.softmax(logits) * z, axis=-1), atol=1e-6)
    assert not any("mean" in variable.path for variable in model.trainable_variables)


@pytest.mark.parametrize("limits", [{"v_min": 3.0, "v_max": 3.0}, {"atoms": 1}])
def test_a_range_that_is_none_is_refused(tmp_path, limits):
    with pytest.raises(recipe.UsageError, match="v_min"):
        recipe.train(logdir=str(tmp_path / "run"), **limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    outputs = keras.models.load_model(run / "model.keras")(np.array([[0.0], [1.0]], np.float32))
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q
