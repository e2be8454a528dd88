"""Neural Fitted Q: targets and losses by hand, the broadcast that must not be, what is remembered, the shortest way."""

import json

import numpy as np
import pytest

from common import checkpoint
from common.cli import UsageError
from common.lazy import keras, tf
from recipes import nfq_gridworld
from recipes.nfq_gridworld import (
    build_optimizer,
    build_q_network,
    make_act,
    make_update,
    squared_error,
    td_target,
    train,
)


def as_printed(y, q):
    """The text's loss: values [B, 1], targets [B], differences [B, B]."""
    return tf.reduce_mean((y - q[:, None]) ** 2)


def test_the_target_by_hand():
    y = td_target(tf.constant([-5.0, 10.0]), tf.constant([0.9, 0.0]), tf.constant([[1.0, 2.0], [7.0, 9.0]]))
    np.testing.assert_allclose(y, [-3.2, 10])  # -5 + 0.9 * 2; terminated: the reward alone
    with pytest.raises(AssertionError):
        td_target(tf.ones((2, 1)), tf.ones(2), tf.ones((2, 3)))


def test_the_loss_by_hand_and_the_texts_broadcast():
    y, q = tf.constant([1.0, 5.0]), tf.constant([0.0, 3.0])
    assert float(squared_error(y, q)) == pytest.approx((1 + 4) / 2)
    with pytest.raises(AssertionError):
        squared_error(y, q[:, None])
    assert float(as_printed(y, q)) == pytest.approx((1 + 25 + 4 + 4) / 4)
    # Its slope pulls every value towards the mean of all targets, 3: 2 * (q - 3) / B = (-3, 0), not (-1, -2).
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(q)
        printed, repaired = as_printed(y, q), squared_error(y, q)
    np.testing.assert_allclose(tape.gradient(printed, q), [-3, 0])
    np.testing.assert_allclose(tape.gradient(repaired, q), [-1, -2])


def batch(seed, minibatches=2, rows=8):
    rng, shape = np.random.default_rng(seed), (minibatches, rows)
    obs, next_obs = (rng.integers(0, 9, size=(*shape, 4)).astype(np.float32) for _ in range(2))
    reward, terminated = rng.normal(size=shape).astype(np.float32), np.ones(shape, np.float32)
    return obs, rng.integers(4, size=shape), reward, next_obs, terminated


def test_one_trace_and_a_falling_loss():
    keras.utils.set_random_seed(0)
    model = build_q_network((4,), 4)
    act, update = make_act(model), make_update(model, model, build_optimizer(3e-3, 10_000), 0.9)
    losses = [float(update(*batch(0))) for _ in range(150)]
    assert losses[-1] < 0.3 * losses[0]
    update(*batch(1))
    obs = batch(0)[0][0]
    np.testing.assert_array_equal(act(obs), model(obs).numpy().argmax(-1))
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1


def test_an_update_is_one_step_on_each_minibatch():
    """Plain descent by 0.1 on a model with one weight per action, twice, by hand."""
    obs = keras.Input((1,))
    model = keras.Model(obs, keras.layers.Dense(2, use_bias=False)(obs))
    model.set_weights([np.zeros((1, 2))])
    update = make_update(model, model, keras.optimizers.SGD(0.1), gamma=0.5)
    one = np.ones((2, 1, 1), np.float32)
    action, zero = np.array([[0], [0]]), np.zeros((2, 1), np.float32)
    update(one, action, np.array([[1.0], [1.0]], np.float32), one, zero)
    # First: y = 1 + 0.5 * 0 = 1, q 0 + 0.1 * 2 * 1 = 0.2. Then y = 1 + 0.5 * 0.2 = 1.1, q 0.2 + 0.2 * 0.9 = 0.38.
    np.testing.assert_allclose(model.get_weights()[0], [[0.38, 0]], atol=1e-6)


def remembered(folder):
    """What the last checkpoint's replay memory holds: obs, action, reward, next_obs, terminated."""
    arrays = {path.stem: np.load(path) for path in checkpoint.checkpoints(folder / "checkpoint")[-1].glob("*.npy")}
    return tuple(arrays[f"memory.{name}"] for name in ("obs", "action", "reward", "next_obs", "terminated"))


def test_what_is_remembered_of_games_that_end(tmp_path):
    """Games of 3 steps with goals all over: most are truncated, some terminate; nothing leads back to the start."""
    few = {"env_id": "grids/RandomGoal-v0", "max_steps": 3, "episodes": 200, "num_envs": 8, "learning_starts": 1000}
    train(**few, seed=0, logdir=str(tmp_path / "run"))
    obs, action, reward, next_obs, terminated = remembered(tmp_path / "run")
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])[action]
    moved = next_obs[:, :2] - obs[:, :2]
    bump = (moved == 0).all(axis=1)
    np.testing.assert_array_equal(moved[~bump], moves[~bump])  # no step that only resets, no jump to the start
    np.testing.assert_array_equal(obs[:, 2:], next_obs[:, 2:])  # nor to another game's goal
    there = (next_obs[:, :2] == next_obs[:, 2:]).all(axis=1)  # the last state is where the agent ended
    np.testing.assert_array_equal(terminated, there)
    np.testing.assert_array_equal(reward, np.where(there, 10, np.where(bump, -5, 0)))
    third = abs(next_obs[:, :2] - [2, 2]).sum(axis=1) == 3  # so far only the last step of a game leads
    assert 0 < there.sum() < 100 and (third & ~there).sum() > 10  # truncated: remembered, and not as terminated


QUICK = {"env_id": "grids/RandomGoal-v0", "episodes": 1500, "num_envs": 32, "seed": 11}


def learnt(folder):
    """How many of the 49 goals the greedy policy reaches by a shortest way."""
    found = {name: np.array(value) for name, value in json.loads((folder / "evaluation.json").read_text()).items()}
    return ((found["returns"] == 10) & (found["lengths"] == found["shortest"])).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "episodes"), [(6e-3, 1500), (1e-30, 100)])
def test_it_walks_the_shortest_ways_and_its_twin_without_learning_does_not(tmp_path, learning_rate, episodes):
    train(**{**QUICK, "learning_rate": learning_rate, "episodes": episodes}, logdir=str(tmp_path / "run"))
    assert (learnt(tmp_path / "run") >= 45) == (learning_rate > 1e-9), learnt(tmp_path / "run")
    pictures = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert pictures == {"learning_curve.png", "grid.png", "state_values.png", "action_values.png", "policy.png"}


@pytest.mark.slow
def test_the_texts_broadcast_loss_does_not_find_the_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(nfq_gridworld, "squared_error", as_printed)
    train(**{**QUICK, "episodes": 400}, logdir=str(tmp_path / "run"))  # of 200 steps nearly all: as many updates
    assert learnt(tmp_path / "run") < 25


def test_a_memory_that_never_holds_enough_is_refused(tmp_path):
    with pytest.raises(UsageError, match="learning_starts"):
        train(learning_starts=200, buffer_size=100, logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
