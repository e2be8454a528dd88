"""Dueling DQN: value and advantages that are centred."""

import numpy as np
import pytest

from common.lazy import keras
from recipes import dueling_dqn_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip


def test_the_head_by_hand():
    value, advantage = keras.Input((1,)), keras.Input((3,))
    head = keras.Model([value, advantage], recipe.dueling(value, advantage))
    # 1 + [1, 2, 6] - 3 = [-1, 0, 4]
    np.testing.assert_allclose(head([np.array([[1.0]]), np.array([[1.0, 2.0, 6.0]])]), [[-1.0, 0.0, 4.0]])


def test_the_mean_over_the_actions_is_the_value():
    model = recipe.build_q_network(4, 3, 8)
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    value = keras.Model(model.input, model.get_layer("value").output)(obs)
    np.testing.assert_allclose(np.mean(model(obs), axis=1), np.array(value)[:, 0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    outputs = keras.models.load_model(run / "model.keras")(np.array([[0.0], [1.0]], np.float32))
    q = np.array(outputs[0] if isinstance(outputs, list) else outputs)  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q
