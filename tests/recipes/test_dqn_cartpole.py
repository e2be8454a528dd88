"""DQN on vectors: its target by hand, probe worlds whose values are known, and what speed must not change."""

import numpy as np
import pytest

from common.lazy import keras, tf
from recipes import dqn_cartpole as recipe

# Enough to learn a probe world in a second or two.
PROBE = {
    "num_envs": 4, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 4000, "learning_starts": 64,
    "epsilon_decay_steps": 500, "train_interval": 16, "minibatches": 8, "batch_size": 32, "target_interval": 16,
    "eval_interval": 0, "eval_episodes": 20, "steps": 4000, "gamma": 0.9,
}  # fmt: skip


LONG = {**PROBE, "steps": 12_000, "learning_rate_decay_steps": 12_000}


def values(folder, obs):
    """q [B, A] of the network that a run saved; the first output where there are several."""
    outputs = keras.models.load_model(folder / "model.keras")(np.array(obs, np.float32))
    return np.array(outputs[0] if isinstance(outputs, list | tuple) else outputs)


def test_the_target_by_hand():
    # 1 + 0.99 * max(5, 3) = 5.95; terminated: the reward alone
    y = recipe.td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([[5.0, 3.0], [5.0, 3.0]]))
    np.testing.assert_allclose(y, [5.95, 1.0], rtol=1e-6)


def constant(q):
    """A network that gives the same q whatever it sees."""
    model = recipe.build_q_network(1, 2, 2)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()[:-1]] + [np.array(q, np.float32)])
    return model


def test_one_update_by_hand():
    model, target_model, optimizer = constant([1.0, 2.0]), constant([5.0, 3.0]), keras.optimizers.SGD(1.0)
    update = recipe.make_update(model, target_model, optimizer, 0.99)
    obs, action = np.zeros((1, 2, 1), np.float32), np.array([[0, 1]])
    reward, terminated = np.array([[1.0, 2.5]], np.float32), np.array([[0.0, 1.0]], np.float32)
    loss = float(update(obs, action, reward, obs, terminated))
    # Errors 5.95 - 1 = 4.95 and 2.5 - 2 = 0.5; their squares 24.5025 and 0.25, whose mean is 12.37625.
    assert loss == pytest.approx(12.37625)
    # Slopes of the mean: 2 * 4.95 / 2 and 2 * 0.5 / 2, so a step of size 1 goes all the way to the targets.
    np.testing.assert_allclose(model.get_weights()[-1], [5.95, 2.5], rtol=1e-6)
    np.testing.assert_array_equal(target_model.get_weights()[-1], [5.0, 3.0])


def test_minibatches_in_one_call_are_the_same_as_one_after_the_other():
    rng = np.random.default_rng(0)
    batch = [
        rng.normal(size=(3, 8, 1)).astype(np.float32), rng.integers(2, size=(3, 8)),
        rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=(3, 8, 1)).astype(np.float32),
        rng.integers(2, size=(3, 8)).astype(np.float32),
    ]  # fmt: skip
    results = []
    for pieces in ([slice(0, 3)], [slice(k, k + 1) for k in range(3)]):
        model, target_model = constant([0.0, 1.0]), constant([1.0, 0.0])
        update = recipe.make_update(model, target_model, keras.optimizers.Adam(0.01), 0.9)
        for piece in pieces:
            update(*(part[piece] for part in batch))
        results.append(model.get_weights())
    for x, y in zip(*results, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_schedules():
    assert [recipe.linear(step, 1.0, 0.04, 8000) for step in (0, 4000, 8000, 50_000)] == [1.0, 0.52, 0.04, 0.04]


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenReward-v0", logdir=str(tmp_path / "run"), **settings)
    q = values(run, [[0.0], [1.0]])  # 1 for the action shown
    assert (abs(q - np.eye(2)).max() < 0.1) == (learning_rate > 1e-9), q


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "run"), **LONG)
    assert abs(values(run, [[0.0]]) - 10).max() < 0.5  # 1 / (1 - 0.9); a sum of ten rewards is 6.5
    original = recipe.make_vec

    def merged(*args, **kwargs):
        envs = original(*args, **kwargs)
        step = envs.step

        def both(actions):
            obs, reward, terminated, truncated, info = step(actions)
            return obs, reward, terminated | truncated, truncated, info

        envs.step = both
        return envs

    monkeypatch.setattr(recipe, "make_vec", merged)
    run = recipe.train("probes/Endless-v0", logdir=str(tmp_path / "twin"), **LONG)
    assert values(run, [[0.0]]).max() < 9


@pytest.mark.slow
def test_the_second_step_is_discounted(tmp_path):
    run = recipe.train("probes/TwoSteps-v0", logdir=str(tmp_path / "run"), **PROBE)
    np.testing.assert_allclose(values(run, [[0.0], [1.0]]), [[0.9, 0.9], [1.0, 1.0]], atol=0.1)
