"""DDPG: both losses by hand, what the memory holds, worlds whose best action and value are known."""

import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras, tf
from envs.probes import ChosenVector
from recipes import ddpg_pendulum as recipe

ONE = gym.spaces.Box(-2.0, 2.0, (1,), np.float32)
# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 4, "hidden_units": 32, "learning_rate": 3e-3, "learning_starts": 200, "exploration_noise": 0.3,
    "train_interval": 16, "minibatches": 16, "batch_size": 32, "tau": 0.05, "gamma": 0.9, "steps": 3000,
    "eval_interval": 0, "eval_episodes": 20,
}  # fmt: skip


def zeros(network, bias):
    """The network with all its weights 0 but the bias of its last layer, so that it gives the same everywhere."""
    network.set_weights([np.zeros_like(w) for w in network.get_weights()])
    network.trainable_variables[-1].assign(np.full(network.trainable_variables[-1].shape, bias, np.float32))
    return network


def constant_actor(unit):
    """An actor whose action is the share `unit` of half the range, whatever it sees."""
    return zeros(recipe.build_actor(1, ONE, 2), np.arctanh(unit))


def constant_critic(q):
    return zeros(recipe.build_critic(1, ONE, 2), q)


def sloping_critic(slope, q):
    """q + slope * unit, where unit is -1 to 1 within the range: a neuron carries unit + 2, which is above 0."""
    critic = constant_critic(q - 2 * slope)
    first, bias, second, _, last, _ = critic.trainable_variables
    first.assign([[0, 0], [1, 0]])  # observation, action
    bias.assign([2, 0])
    second.assign([[1, 0], [0, 0]])
    last.assign([[slope], [0]])
    return critic


def batch(reward, terminated, action=0.0):
    """Minibatches, [K, B], whose observations are 0 and whose actions are the same."""
    reward, terminated = np.array(reward, np.float32), np.array(terminated, np.float32)
    obs = np.zeros((*reward.shape, 1), np.float32)
    return obs, obs + np.float32(action), reward, obs, terminated


def make(model, critic, target_model, target_critic, rate=0.0, critic_rate=0.0, gamma=0.99, tau=0.0):
    """An update with plain gradient steps."""
    optimizers = keras.optimizers.SGD(rate), keras.optimizers.SGD(critic_rate)
    return recipe.make_update(model, critic, target_model, target_critic, *optimizers, gamma, tau)


def test_the_target_by_hand():
    # 1 + 0.99 * 5 = 5.95; terminated: the reward alone
    y = recipe.td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([5.0, 5.0]))
    np.testing.assert_allclose(y, [5.95, 1.0], rtol=1e-6)


def test_the_critics_step_by_hand():
    # The target actor gives 1/2 of the range, where the target critic says 4 + 2 * 1/2 = 5. The actor would give 0 and
    # the critic says 2.
    critic = constant_critic(2.0)
    update = make(constant_actor(0.0), critic, constant_actor(0.5), sloping_critic(2.0, 4.0), critic_rate=1.0)
    loss = float(update(*batch([[1.0, 2.5]], [[0.0, 1.0]])))
    # Errors 5.95 - 2 = 3.95 and 2.5 - 2 = 0.5; their squares 15.6025 and 0.25, whose mean is 7.92625.
    assert loss == pytest.approx(7.92625)
    # The slope of the mean in the last bias is -(2 * 3.95 + 2 * 0.5) / 2 = -4.45.
    assert critic.get_weights()[-1] == pytest.approx(6.45)


def test_the_actors_step_by_hand():
    # q = 4 + 3 unit, unit = tanh(b) = 1/2: dq/db = 3 (1 - 1/4) = 2.25, and a rate of 0.1 moves b up by 0.225.
    model, critic = constant_actor(0.5), sloping_critic(3.0, 4.0)
    before = critic.get_weights()
    make(model, critic, constant_actor(0.0), constant_critic(0.0), rate=0.1)(*batch([[0.0, 0.0]], [[0.0, 0.0]]))
    assert model.get_weights()[-1] == pytest.approx(np.arctanh(0.5) + 0.225)
    for x, y in zip(before, critic.get_weights(), strict=True):  # a step of the actor is none of the critic
        np.testing.assert_array_equal(x, y)


def test_the_target_networks_follow_by_the_share_tau():
    networks = [f(1, ONE, 2) for f in (recipe.build_actor, recipe.build_critic)]
    targets = [f(1, ONE, 2) for f in (recipe.build_actor, recipe.build_critic)]
    for network, target in zip(networks, targets, strict=True):
        network.set_weights([np.ones_like(w) for w in network.get_weights()])
        target.set_weights([np.zeros_like(w) for w in target.get_weights()])
    update = make(*networks, *targets, tau=0.005)
    update(*batch([[0.0]], [[0.0]]))
    for w in (w for target in targets for w in target.get_weights()):
        np.testing.assert_allclose(w, 0.005, rtol=1e-6)
    update(*batch([[0.0], [0.0]], [[0.0], [0.0]]))  # after each of both updates: 1 - 0.995³ = 0.014925125
    for w in (w for target in targets for w in target.get_weights()):
        np.testing.assert_allclose(w, 0.014925125, rtol=1e-6)


def random_parts(minibatches=3):
    """Networks with random weights, targets with others, and random minibatches."""
    keras.utils.set_random_seed(1)
    parts = [f(3, ChosenVector.action_space, 8) for f in (recipe.build_actor, recipe.build_critic) * 2]
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, minibatches, 8, 3)).astype(np.float32)
    action = rng.uniform([-2, 0], [2, 5], (minibatches, 8, 2)).astype(np.float32)
    reward = rng.normal(size=(minibatches, 8)).astype(np.float32)
    return parts, (obs, action, reward, next_obs, rng.integers(2, size=(minibatches, 8)).astype(np.float32))


def test_minibatches_in_one_call_are_the_same_as_one_after_the_other():
    results = []
    for pieces in ([slice(0, 3)], [slice(k, k + 1) for k in range(3)]):
        parts, minibatches = random_parts()
        adams = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.01)
        update = recipe.make_update(*parts, *adams, 0.9, 0.1)
        for piece in pieces:
            update(*(part[piece] for part in minibatches))
        results.append([w for network in parts for w in network.get_weights()])
    for x, y in zip(*results, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_one_update_lowers_both_losses():
    (model, critic, target_model, target_critic), minibatches = random_parts(1)
    obs, action, reward, next_obs, terminated = (tf.constant(part[0]) for part in minibatches)

    def losses():
        y = reward + 0.9 * (1 - terminated) * target_critic([next_obs, target_model(next_obs)])
        return np.mean((y - critic([obs, action])) ** 2), -np.mean(critic([obs, model(obs)]))

    before = losses()
    assert float(make(model, critic, target_model, target_critic, 0.0, 0.01, 0.9)(*minibatches)) == pytest.approx(
        before[0], rel=1e-5
    )
    middle = losses()
    assert middle[0] < before[0]
    make(model, critic, target_model, target_critic, 0.01, 0.0, 0.9)(*minibatches)
    assert losses()[1] < middle[1]


def test_the_noise_is_a_share_of_half_the_range():
    model = zeros(recipe.build_actor(1, ChosenVector.action_space, 2), 0.0)  # bounds -2 to 2 and 0 to 5
    act = recipe.make_act(model, ChosenVector.action_space, 0.1)
    # The middle is (0, 2.5), half the range (2, 2.5).
    np.testing.assert_allclose(act(np.zeros((1, 1), np.float32), np.array([[1.0, -2.0]], np.float32)), [[0.2, 2.0]])


def test_networks_take_the_bounds_of_the_world():
    space = ChosenVector.action_space
    actor, critic = recipe.build_actor(1, space, 2), recipe.build_critic(1, space, 2)
    obs = np.zeros((1, 1), np.float32)
    for unit, action in ((-1, [-2, 0]), (0, [0, 2.5]), (1, [2, 5])):
        np.testing.assert_allclose(zeros(actor, 20.0 * unit)(obs), [action], atol=1e-6)
        inside = keras.Model(critic.inputs, critic.get_layer(index=3).input[1])  # what is joined to the observation
        np.testing.assert_allclose(inside([obs, np.array([action], np.float32)]), [[unit, unit]], atol=1e-6)


def stored(folder):
    """The replay memory of a finished run, as its last checkpoint has it."""
    newest = max((folder / "checkpoint").iterdir())
    names = ("obs", "action", "reward", "next_obs", "terminated")
    return {name: np.load(newest / f"memory.{name}.npy") for name in names}


def test_acting_and_learning_are_traced_once(tmp_path, monkeypatch):
    made = []
    for name in ("make_act", "make_update"):
        original = getattr(recipe, name)
        monkeypatch.setattr(recipe, name, lambda *parts, f=original: made.append(f(*parts)) or made[-1])
    recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "run"), **{**PROBE, "steps": 300})
    assert [function.experimental_get_tracing_count() for function in made] == [1, 1]


def test_the_memory_holds_every_step_of_the_pendulum_none_of_them_terminal_and_no_reset(tmp_path):
    settings = {**PROBE, "num_envs": 3, "steps": 900, "eval_episodes": 0}  # games are truncated after 200 steps
    run = recipe.train(logdir=str(tmp_path / "run"), **settings)
    memory = stored(run)
    assert len(memory["reward"]) == 900 and not memory["terminated"].any()
    # gymnasium's pendulum: thdot' = thdot + (15 sin(th) + 3 u) * 0.05, at most 8; the observation is cos, sin, thdot.
    (_, sin, speed), action = memory["obs"].T, memory["action"][:, 0]
    wanted = np.clip(speed + (15 * sin + 3 * action) * 0.05, -8, 8)
    np.testing.assert_allclose(memory["next_obs"][:, 2], wanted, atol=1e-4)  # a reset follows no such law
    assert abs(action).max() <= 2 and abs(action).max() > 1.9


def test_the_first_actions_are_random_over_the_whole_range(tmp_path):
    settings = {**PROBE, "steps": 800, "learning_starts": 800, "eval_episodes": 0}
    action = stored(recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **settings))["action"]
    # Uniform between -2 and 2, and between 0 and 5: means 0 and 2.5, deviations 4 / √12 and 5 / √12.
    np.testing.assert_allclose(action.mean(0), [0, 2.5], atol=0.2)
    np.testing.assert_allclose(action.std(0), np.array([4, 5]) / np.sqrt(12), atol=0.1)


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
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "run"), **PROBE)
    assert abs(endless_q(run) - 10).max() < 0.5  # 1 / (1 - 0.9)
    assert (stored(run)["reward"] == 1).all()  # the step that only resets brings 0
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


@pytest.mark.slow
def test_the_model_alone_gives_actions_within_the_bounds(tmp_path):
    """In a process without this repository, for observations far beyond what was seen."""
    run = recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **{**PROBE, "steps": 400})
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
action = np.array(keras.models.load_model(sys.argv[1])(np.linspace(-100, 100, 1001)[:, None]))
assert action.shape == (1001, 2) and (action >= [-2, 0]).all() and (action <= [2, 5]).all()
assert (np.ptp(action, axis=0) > 1).all()
"""
    done = subprocess.run([sys.executable, "-c", code, run / "model.keras"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
