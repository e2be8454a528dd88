"""DQN on a grid: updates by hand with another target network, the clock of its copies, what is remembered, the ways."""

import json

import numpy as np
import pytest

from common import checkpoint
from common.cli import UsageError
from common.lazy import keras, tf
from recipes import dqn_gridworld
from recipes.dqn_gridworld import (
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


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    with pytest.raises(AssertionError):
        td_target(tf.ones((2, 1)), tf.ones(2), tf.ones((2, 3)))
    with pytest.raises(AssertionError):
        squared_error(tf.ones(2), tf.ones((2, 1)))


def test_the_texts_network():
    model = build_q_network((9, 10, 3), 4)
    # (3 * 16 + 1) * 32 + (32 * 9 + 1) * 64 + (384 + 1) * 50 + (50 + 1) * 4; the text's linear layer takes 384
    assert model.count_params() == 1568 + 18_496 + 19_250 + 204
    assert model(np.zeros((5, 9, 10, 3), np.float32)).shape == (5, 4)


def batch(seed, minibatches=2, rows=8):
    rng, shape = np.random.default_rng(seed), (minibatches, rows)
    obs, next_obs = (rng.integers(0, 2, size=(*shape, 9, 10, 3)).astype(np.float32) for _ in range(2))
    reward, terminated = rng.normal(size=shape).astype(np.float32), np.ones(shape, np.float32)
    return obs, rng.integers(4, size=shape), reward, next_obs, terminated


def test_one_trace_and_a_falling_loss():
    keras.utils.set_random_seed(0)
    model, target = build_q_network((9, 10, 3), 4), build_q_network((9, 10, 3), 4)
    act, update = make_act(model), make_update(model, target, build_optimizer(3e-3, 10_000), 0.9)
    losses = [float(update(*batch(0))) for _ in range(50)]
    assert losses[-1] < 0.3 * losses[0]
    update(*batch(1))
    obs = batch(0)[0][0]
    np.testing.assert_array_equal(act(obs), model(obs).numpy().argmax(-1))
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1


def test_an_update_by_hand_with_another_target_network():
    """Plain descent by 0.1 on a model with one weight per action, twice; the target network says 4 and 2 throughout."""

    def one_weight_per_action(weights):
        obs = keras.Input((1,))
        model = keras.Model(obs, keras.layers.Dense(2, use_bias=False)(obs))
        model.set_weights([np.array([weights])])
        return model

    model, target = one_weight_per_action([0.0, 0.0]), one_weight_per_action([4.0, 2.0])
    update = make_update(model, target, keras.optimizers.SGD(0.1), gamma=0.5)
    one, reward = np.ones((2, 1, 1), np.float32), np.ones((2, 1), np.float32)
    loss = update(one, np.array([[0], [1]]), reward, one, np.array([[0.0], [1.0]], np.float32))
    # First: y = 1 + 0.5 * 4 = 3, loss 9, q(0) = 0 + 0.1 * 2 * 3. Then, terminated: y = 1, loss 1, q(1) = 0.1 * 2 * 1.
    np.testing.assert_allclose(model.get_weights()[0], [[0.6, 0.2]], atol=1e-6)
    np.testing.assert_allclose(loss, 5)
    np.testing.assert_array_equal(target.get_weights()[0], [[4, 2]])


@pytest.mark.parametrize(("minibatches", "interval"), [(1, 7), (4, 25)])
def test_the_clock_of_the_copies(tmp_path, monkeypatch, minibatches, interval):
    """After which call of `update` the network is copied: the first one that reaches a multiple of the interval."""
    calls, copies, original = [], [], dqn_gridworld.make_update

    def make(model, target_model, *settings):
        set_weights = target_model.set_weights
        target_model.set_weights = lambda weights: (copies.append(len(calls)), set_weights(weights))
        update = original(model, target_model, *settings)
        return lambda *rows: (calls.append(rows), update(*rows))[1]

    monkeypatch.setattr(dqn_gridworld, "make_update", make)
    settings = {"num_envs": 8, "max_steps": 20, "episodes": 40, "learning_starts": 100, "batch_size": 4}
    train(**settings, minibatches=minibatches, target_interval=interval, logdir=str(tmp_path / "run"))
    assert len(calls) > 50 and calls[0][0].shape == (minibatches, 4, 9, 10, 3)
    assert copies == [
        -(-multiple // minibatches) for multiple in range(interval, len(calls) * minibatches + 1, interval)
    ]


def remembered(folder):
    """What the last checkpoint's replay memory holds: obs, action, reward, next_obs, terminated."""
    arrays = {path.stem: np.load(path) for path in checkpoint.checkpoints(folder / "checkpoint")[-1].glob("*.npy")}
    return tuple(arrays[f"memory.{name}"] for name in ("obs", "action", "reward", "next_obs", "terminated"))


def test_what_is_remembered_of_games_that_end(tmp_path):
    """Games of 3 steps with goals all over: most are truncated, some terminate; nothing leads back to the start."""
    few = {"env_id": "grids/RandomGoal-v0", "max_steps": 3, "episodes": 200, "num_envs": 8, "learning_starts": 1000}
    train(**few, seed=0, logdir=str(tmp_path / "run"))
    obs, action, reward, next_obs, terminated = remembered(tmp_path / "run")
    np.testing.assert_array_equal(obs[..., [0, 2]], next_obs[..., [0, 2]])  # walls and goal: of the same game
    before, after, goal = (np.argwhere(layer)[:, 1:] for layer in (obs[..., 1], next_obs[..., 1], obs[..., 2]))
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])[action]
    bump = (after == before).all(axis=1)
    np.testing.assert_array_equal((after - before)[~bump], moves[~bump])  # no step that only resets
    there = (after == goal).all(axis=1)  # the last state is where the agent ended
    np.testing.assert_array_equal(terminated, there)
    np.testing.assert_array_equal(reward, np.where(there, 10, np.where(bump, -5, 0)))
    third = abs(after - [2, 2]).sum(axis=1) == 3  # so far only the last step of a game leads
    assert 0 < there.sum() < 100 and (third & ~there).sum() > 10  # truncated: remembered, and not as terminated


QUICK = {
    "env_id": "grids/RandomGoal-v0",
    "episodes": 1500,
    "num_envs": 32,
    "seed": 11,
}


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
    monkeypatch.setattr(dqn_gridworld, "squared_error", as_printed)
    train(**{**QUICK, "episodes": 400}, logdir=str(tmp_path / "run"))  # of 200 steps nearly all: as many updates
    assert learnt(tmp_path / "run") < 25


def test_a_memory_that_never_holds_enough_is_refused(tmp_path):
    with pytest.raises(UsageError, match="learning_starts"):
        train(learning_starts=200, buffer_size=100, logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
