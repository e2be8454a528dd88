"""TD3: each of the three repairs by hand, and what is left without them, which is DDPG."""

import json

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras, tf
from envs.probes import ChosenVector
from recipes import ddpg_pendulum
from recipes import td3_pendulum as recipe

ONE = gym.spaces.Box(-2.0, 2.0, (1,), np.float32)
SPACE = ChosenVector.action_space  # -2 to 2 and 0 to 5
# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 4, "hidden_units": 32, "learning_rate": 3e-3, "learning_starts": 200, "exploration_noise": 0.3,
    "train_interval": 16, "minibatches": 16, "batch_size": 32, "tau": 0.05, "gamma": 0.9, "steps": 3000,
    "eval_interval": 0, "eval_episodes": 20,
}  # fmt: skip
OFF = {"policy_delay": 1, "target_noise": 0.0, "noise_clip": 0.5}


def random_parts(count, minibatches=3):
    """Networks with random weights, targets with others, and random minibatches with noise."""
    keras.utils.set_random_seed(1)
    parts = []
    for _ in range(2):
        parts += [recipe.build_actor(3, SPACE, 8), recipe.build_critic(3, SPACE, 8, count)]
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, minibatches, 8, 3)).astype(np.float32)
    action = rng.uniform(SPACE.low, SPACE.high, (minibatches, 8, 2)).astype(np.float32)
    reward = rng.normal(size=(minibatches, 8)).astype(np.float32)
    terminated = rng.integers(2, size=(minibatches, 8)).astype(np.float32)
    return parts, (obs, action, reward, next_obs, terminated, rng.normal(size=(minibatches, 8, 2)).astype(np.float32))


def make(parts, optimizer=lambda: keras.optimizers.Adam(0.01), gamma=0.9, tau=0.1, **flags):
    """An update of these networks, with the repairs that are named."""
    flags = {**OFF, **flags}
    return recipe.make_update(*parts, optimizer(), optimizer(), gamma, tau, SPACE, *(flags[name] for name in OFF))


def weights(networks):
    return [w for network in networks for w in network.get_weights()]


def test_the_target_by_hand():
    # 1 + 0.99 * min(4, 3.5) = 4.465; terminated: the reward alone
    y = recipe.td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([[4.0, 3.5], [4.0, 3.5]]))
    np.testing.assert_allclose(y, [4.465, 1.0], rtol=1e-6)


def test_the_noise_is_clipped_before_the_action_is():
    action, noise = tf.constant([[0.0, 2.5], [1.8, 0.1]]), tf.constant([[0.3, -2.0], [0.4, -0.1]])
    # Half the ranges are 2 and 2.5. First row: 0 + 2 * 0.3 = 0.6; the noise -2 is clipped to -0.5, 2.5 - 1.25 = 1.25.
    # Second row: 1.8 + 0.8 is beyond the bound 2, and 0.1 - 0.25 below the bound 0.
    np.testing.assert_allclose(recipe.smoothed(action, noise, SPACE, 0.5), [[0.6, 1.25], [2.0, 0.0]], rtol=1e-6)


def test_the_critics_step_by_hand():
    def zeros(network, *bias):
        network.set_weights([np.zeros_like(w) for w in network.get_weights()])
        for variable, value in zip(network.trainable_variables[-2 * len(bias) + 1 :: 2], bias, strict=True):
            variable.assign(np.full(variable.shape, value, np.float32))
        return network

    critic, target_critic = (recipe.build_critic(1, ONE, 2, 2) for _ in range(2))
    actors = [zeros(recipe.build_actor(1, ONE, 2), 0.0) for _ in range(2)]
    zeros(critic, 1.0, 2.0)
    zeros(target_critic, 4.0, 3.5)
    sgd = keras.optimizers.SGD
    update = recipe.make_update(
        actors[0], critic, actors[1], target_critic, sgd(0.0), sgd(1.0), 0.99, 0.0, ONE, 1, 0, 1
    )
    obs = np.zeros((1, 2, 1), np.float32)
    loss = float(update(obs, obs, np.array([[1.0, 2.5]], np.float32), obs, np.array([[0.0, 1.0]], np.float32), obs))
    # Targets 4.465 and 2.5. Errors of the first critic 3.465 and 1.5, of the second 2.465 and 0.5:
    # (3.465² + 1.5²) / 2 + (2.465² + 0.5²) / 2 = 7.1281125 + 3.1631125.
    assert loss == pytest.approx(10.291225)
    # Slopes in the last biases: -(3.465 + 1.5) = -4.965 and -(2.465 + 0.5) = -2.965.
    np.testing.assert_allclose(critic([obs[0], obs[0]])[0], [1 + 4.965, 2 + 2.965], rtol=1e-5)


def test_without_the_repairs_it_is_ddpg():
    parts, minibatches = random_parts(1)
    theirs = [build(3, SPACE, 8) for build in (ddpg_pendulum.build_actor, ddpg_pendulum.build_critic) * 2]
    for own, other in zip(parts, theirs, strict=True):
        other.set_weights(own.get_weights())
    adams = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01)
    wanted = ddpg_pendulum.make_update(*theirs, *adams, 0.9, 0.1)(*minibatches[:-1])
    np.testing.assert_allclose(make(parts)(*minibatches), wanted, rtol=1e-5)
    for x, y in zip(weights(parts), weights(theirs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_twins_start_apart_and_only_the_first_guides_the_actor():
    (model, critic, *targets), minibatches = random_parts(2)
    obs = minibatches[0][0]
    q = critic([tf.constant(obs), model(obs)])
    assert q.shape == (8, 2) and np.min(abs(q[:, 0] - q[:, 1])) > 1e-3
    actor = model.get_weights()
    results = []
    for changed in (None, 0, 1):  # the last layer of either critic, whose slope guides the actor
        model.set_weights(actor)
        copy = keras.models.clone_model(critic)
        copy.set_weights(critic.get_weights())
        if changed is not None:
            copy.layers[-3 + changed].kernel.assign(-copy.layers[-3 + changed].kernel)
        make([model, copy, *targets], lambda: keras.optimizers.SGD(0.01), tau=0.0)(*minibatches)
        results.append(model.get_weights())
    same = [all(np.array_equal(x, y) for x, y in zip(results[0], other, strict=True)) for other in results[1:]]
    assert same == [False, True]


@pytest.mark.parametrize("target_noise", [0.0, 0.2])
def test_noise_smooths_the_target_unless_it_is_left_out(target_noise):
    losses = []
    for scale in (0.0, 1.0):
        parts, (*minibatches, noise) = random_parts(2)
        losses.append(float(make(parts, target_noise=target_noise)(*minibatches, scale * noise)))
    assert (losses[0] == losses[1]) == (target_noise == 0)


@pytest.mark.parametrize("policy_delay", [1, 2, 3])
def test_actor_and_targets_move_at_every_so_many_updates_of_the_critics(policy_delay):
    """Also where a round ends in between: calls of 2 updates each, looked at after each."""
    (model, critic, target_model, target_critic), minibatches = random_parts(2, 2)
    update = make([model, critic, target_model, target_critic], policy_delay=policy_delay)
    moved = []
    for _ in range(3):
        before = [weights([network]) for network in (model, target_model, target_critic, critic)]
        update(*minibatches)
        after = [weights([network]) for network in (model, target_model, target_critic, critic)]
        moved.append([not all(map(np.array_equal, x, y)) for x, y in zip(before, after, strict=True)])
    # Updates 1 and 2, 3 and 4, 5 and 6: with a delay of 3 the second and the third call hold one of the actor's.
    expected = {1: [True, True, True], 2: [True, True, True], 3: [False, True, True]}[policy_delay]
    assert moved == [[m, m, m, True] for m in expected]


def test_the_actor_takes_one_step_for_every_policy_delay_of_the_critics():
    counts = {}
    for policy_delay in (1, 2, 3, 4):
        parts, minibatches = random_parts(2, 3)
        adams = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01)
        update = recipe.make_update(*parts, *adams, 0.9, 0.1, SPACE, policy_delay, 0.2, 0.5)
        for _ in range(4):  # 12 updates
            update(*minibatches)
        counts[policy_delay] = [int(adam.iterations) for adam in adams]
        assert update.experimental_get_tracing_count() == 1
    assert counts == {1: [12, 12], 2: [6, 12], 3: [4, 12], 4: [3, 12]}


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [3e-3, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **settings)
    x = np.linspace(-0.9, 0.9, 7, dtype=np.float32)[:, None]
    error = np.max(abs(keras.models.load_model(run / "model.keras")(x) - np.c_[2 * x, 2.5 + 2.5 * x]))
    assert (error < 0.5) == (learning_rate > 1e-9), error
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    assert (np.mean(scores) > -0.05) == (learning_rate > 1e-9), scores


def endless_q(run):
    """q of the network `critic` in the world without an end, for actions all over the range."""
    action = np.array([[-0.4, -0.4], [0.0, 0.0], [0.4, 0.4], [0.4, -0.4]], np.float32)
    return np.array(keras.models.load_model(run / "critic.keras")([np.zeros((4, 1), np.float32), action]))


@pytest.mark.slow
@pytest.mark.parametrize("twins", [True, False])
def test_a_truncated_game_goes_on(tmp_path, twins):
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "run"), **PROBE, twins=twins)
    q = endless_q(run)
    assert q.shape == (4, 1 + twins) and abs(q - 10).max() < 0.5  # 1 / (1 - 0.9)


@pytest.mark.slow
def test_a_terminated_game_does_not(tmp_path, monkeypatch):
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
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "twin"), **PROBE)
    # Each tenth step counts as an end, and all look alike: v = 1 + 0.9 * (9/10) v, so v = 1 / 0.19 = 5.263.
    assert abs(endless_q(run).mean() - 5.263) < 0.5 and endless_q(run).max() < 9
