"""SAC: the density of squashed draws, the three losses by hand, the temperature's way, worlds with known answers."""

import json
import math

import gymnasium as gym
import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras, tf
from envs.probes import ChosenVector
from recipes import sac_pendulum as recipe

ONE = gym.spaces.Box(-2.0, 2.0, (1,), np.float32)
SPACE = ChosenVector.action_space  # -2 to 2 and 0 to 5
# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 4, "hidden_units": 32, "learning_rate": 3e-3, "learning_starts": 200, "train_interval": 16,
    "minibatches": 16, "batch_size": 32, "tau": 0.05, "gamma": 0.9, "steps": 3000, "eval_interval": 0,
    "eval_episodes": 20,
}  # fmt: skip


def columns(*values):
    return [tf.constant(np.reshape(value, (1, -1)), tf.float32) for value in values]


def test_the_density_of_a_squashed_draw_by_hand():
    # u = 0.3 + 0.5 * 1 = 0.8: log N = -0.5 - ln 0.5 - ln √(2 π) = -0.7257914, tanh(0.8) = 0.6640368,
    # ln(1 - 0.6640368²) = -0.5815071, and -0.7257914 + 0.5815071 = -0.1442843.
    a, log_prob = recipe.squashed_normal(*columns([0.3], [math.log(0.5)], [1.0]))
    np.testing.assert_allclose(a, [[0.6640368]], rtol=1e-6)
    np.testing.assert_allclose(log_prob, [-0.1442843], rtol=1e-5)
    # The numbers of an action are independent, so their logarithms add.
    _, log_prob = recipe.squashed_normal(*columns([0.3, 0.3], [math.log(0.5)] * 2, [1.0, 1.0]))
    np.testing.assert_allclose(log_prob, [-0.2885686], rtol=1e-5)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.4), (-0.5, 2.0)])
def test_the_densities_sum_to_one(mean, std):
    noise = np.linspace(-8, 8, 4001)[:, None]
    parts = (tf.constant(part, tf.float32) for part in (0 * noise + mean, 0 * noise + math.log(std), noise))
    a, log_prob = (np.asarray(part, np.float64) for part in recipe.squashed_normal(*parts))
    assert np.trapezoid(np.exp(log_prob), np.tanh(mean + std * noise[:, 0])) == pytest.approx(1, abs=1e-3)
    assert abs(a).max() <= 1


def test_it_stays_finite_where_tanh_rounds_to_one():
    with np.errstate(divide="ignore"):
        assert np.log(1 - np.tanh(np.float32(20)) ** 2) == -np.inf  # in 32 bits, as the network computes
    mean = tf.Variable([[20.0], [-20.0]])
    with tf.GradientTape() as tape:
        a, log_prob = recipe.squashed_normal(mean, tf.zeros((2, 1)), tf.zeros((2, 1)))
    # 2 (ln 2 - 20 - softplus(-40)) = -38.613706, so log pi = -0.9189385 + 38.613706; the same on the other side.
    np.testing.assert_allclose(log_prob, [37.694767, 37.694767], rtol=1e-6)
    np.testing.assert_array_equal(a, [[1.0], [-1.0]])
    np.testing.assert_allclose(tape.gradient(log_prob, mean), [[2.0], [-2.0]], rtol=1e-6)  # 2 tanh(u)


def test_the_target_by_hand():
    # 1 + 0.99 * min(4, 3.5) = 4.465; terminated: the reward alone
    y = recipe.td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([[4.0, 3.5], [4.0, 3.5]]))
    np.testing.assert_allclose(y, [4.465, 1.0], rtol=1e-6)


def constant_actor(mean, within=0.0):
    """An actor with this mean before tanh everywhere, and a log_std of -1.5 + 3.5 tanh(within)."""
    model = recipe.build_actor(1, ONE, 2)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.get_layer("mean").bias.assign([mean])
    spread(model).assign([within])
    return model


def spread(model):
    """The bias that decides the log_std of a constant actor."""
    (layer,) = (x for x in model.layers if isinstance(x, keras.layers.Dense) and x.activation.__name__ == "tanh")
    return layer.bias


def sloping_critics(slope, *q):
    """For each of two critics q + slope * unit, with unit from -1 to 1; a neuron carries unit + 2, which is above 0."""
    critic = recipe.build_critic(1, ONE, 2, 2)
    critic.set_weights([np.zeros_like(w) for w in critic.get_weights()])
    dense = [layer for layer in critic.layers if isinstance(layer, keras.layers.Dense)]
    for first, second, last, level in zip(dense[:2], dense[2:4], dense[4:], q, strict=True):
        first.kernel.assign([[0, 0], [1, 0]])  # observation, action
        first.bias.assign([2, 0])
        second.kernel.assign([[1, 0], [0, 0]])
        last.kernel.assign([[slope], [0]])
        last.bias.assign([level - 2 * slope])
    return critic


def make(model, critic, target_critic, rate=0.0, critic_rate=0.0, gamma=0.99, tau=0.0, log_alpha=0.0):
    """An update with plain gradient steps and a target of the entropy of -1, and its temperature."""
    temperature = tf.Module()
    temperature.log = tf.Variable(log_alpha)
    parts = temperature, keras.optimizers.SGD(rate), keras.optimizers.SGD(critic_rate)
    return recipe.make_update(model, critic, target_critic, *parts, gamma, tau, ONE, -1.0), temperature


def batch(reward, terminated):
    """A minibatch, [1, B], whose observations, actions and noise are 0."""
    reward, terminated = np.array([reward], np.float32), np.array([terminated], np.float32)
    obs = np.zeros((*reward.shape, 1), np.float32)
    return obs, obs, reward, obs, terminated, np.stack([obs, obs], axis=1)


def test_the_critics_step_by_hand():
    critic, target_critic = sloping_critics(0.0, 1.0, 2.0), sloping_critics(0.0, 4.0, 3.5)
    update, _ = make(constant_actor(0.0), critic, target_critic, critic_rate=1.0, log_alpha=math.log(2))
    loss, alpha = update(*batch([1.0, 2.5], [0.0, 1.0]))
    # log pi = 1.5 - 0.9189385 = 0.5810615, the soft value 3.5 - 2 * 0.5810615 = 2.337877, the target 3.3144982;
    # the other is 2.5. Errors 2.3144982 and 1.5, 1.3144982 and 0.5:
    # (2.3144982² + 1.5²) / 2 + (1.3144982² + 0.5²) / 2 = 3.8034510 + 0.9889528.
    assert float(loss) == pytest.approx(4.7924038) and float(alpha) == pytest.approx(2.0)
    # Slopes in the last biases: -(2.3144982 + 1.5) and -(1.3144982 + 0.5).
    zero = np.zeros((1, 1), np.float32)
    biases = [layer.bias.numpy()[0] for layer in critic.layers if isinstance(layer, keras.layers.Dense)][4:]
    np.testing.assert_allclose(biases, [1 + 3.8144982, 2 + 1.8144982], rtol=1e-5)
    assert critic([zero, zero]).shape == (1, 2)


def test_the_steps_of_actor_and_temperature_by_hand():
    model, critic = constant_actor(math.atanh(0.5)), sloping_critics(3.0, 9.0, 4.0)
    update, temperature = make(model, critic, sloping_critics(0.0, 0.0, 0.0), rate=0.1)
    update(*batch([0.0, 0.0], [0.0, 0.0]))
    # The lower critic is 4 + 3 tanh(m). The loss log pi - q has the slope 2 tanh(m) - 3 (1 - tanh(m)²) in m, that is
    # 1 - 2.25 = -1.25, and a rate of 0.1 moves m up by 0.125.
    assert model.get_layer("mean").bias.numpy()[0] == pytest.approx(math.atanh(0.5) + 0.125)
    # In log_std the slope is -1, and log_std moves by 3.5 for each unit of its bias.
    assert spread(model).numpy()[0] == pytest.approx(0.35)
    # log pi = 0.5810615 - ln(1 - 0.25) = 0.8687436; the entropy -0.8687436 is 0.1312564 above the target -1.
    assert float(temperature.log) == pytest.approx(-0.01312564, rel=1e-4)


def test_the_target_critics_follow_by_the_share_tau():
    model, critic, target_critic = constant_actor(0.0), *(recipe.build_critic(1, ONE, 2, 2) for _ in range(2))
    critic.set_weights([np.ones_like(w) for w in critic.get_weights()])
    target_critic.set_weights([np.zeros_like(w) for w in critic.get_weights()])
    update, _ = make(model, critic, target_critic, tau=0.005)
    for wanted in (0.005, 0.009975):  # 1 - 0.995²
        update(*batch([0.0], [0.0]))
        for w in target_critic.get_weights():
            np.testing.assert_allclose(w, wanted, rtol=1e-6)


@pytest.mark.parametrize(("within", "rises"), [(-20.0, True), (0.0, False)])
def test_the_temperature_rises_where_the_policy_is_too_sure_and_falls_where_it_is_not(within, rises):
    # The entropy of a normal distribution is 1.4189385 + log_std. With log_std -5 it is -3.58, below the target -1, and
    # with -1.5 it is -0.08, from which squashing takes little.
    update, temperature = make(constant_actor(0.0, within), *(sloping_critics(0.0, 0.0, 0.0),) * 2, rate=0.01)
    *parts, _ = batch(np.zeros(256), np.zeros(256))
    _, alpha = update(*parts, np.random.default_rng(0).standard_normal((1, 2, 256, 1), np.float32))
    assert (float(temperature.log) > 0) == (float(alpha) > 1) == rises and float(alpha) != 1


def random_parts(minibatches=3):
    """Networks with random weights, a target with others, and random minibatches."""
    keras.utils.set_random_seed(1)
    parts = [recipe.build_actor(3, SPACE, 8), *(recipe.build_critic(3, SPACE, 8, 2) for _ in range(2)), tf.Module()]
    parts[-1].log = tf.Variable(0.0)
    rng = np.random.default_rng(0)
    obs, next_obs = rng.normal(size=(2, minibatches, 8, 3)).astype(np.float32)
    action = rng.uniform(SPACE.low, SPACE.high, (minibatches, 8, 2)).astype(np.float32)
    reward, noise = (rng.standard_normal((minibatches, *shape), np.float32) for shape in ((8,), (2, 8, 2)))
    return parts, (obs, action, reward, next_obs, rng.integers(2, size=(minibatches, 8)).astype(np.float32), noise)


def test_minibatches_in_one_call_are_the_same_as_one_after_the_other():
    results = []
    for pieces in ([slice(0, 3)], [slice(k, k + 1) for k in range(3)]):
        parts, minibatches = random_parts()
        update = recipe.make_update(*parts, *(keras.optimizers.Adam(0.01) for _ in range(2)), 0.9, 0.1, SPACE, -2.0)
        for piece in pieces:
            update(*(part[piece] for part in minibatches))
        assert update.experimental_get_tracing_count() == 1
        results.append([*(w for network in parts[:3] for w in network.get_weights()), parts[3].log.numpy()])
    for x, y in zip(*results, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_one_update_lowers_both_losses():
    def losses(model, critic, target_critic, _):
        obs, action, reward, next_obs, terminated, noise = (tf.constant(part[0]) for part in minibatches)
        next_action, next_log_prob = recipe.draw(model, next_obs, noise[0], SPACE)
        next_q = target_critic([next_obs, next_action]) - next_log_prob[:, None]  # the temperature is 1
        y = recipe.td_target(reward, 0.9 * (1 - terminated), next_q)
        drawn, log_prob = recipe.draw(model, obs, noise[1], SPACE)
        q = tf.reduce_min(critic([obs, drawn]), axis=-1)
        return np.sum(np.mean((y[:, None] - critic([obs, action])) ** 2, axis=0)), np.mean(log_prob - q)

    for which, rates in enumerate([(0.0, 0.01), (0.01, 0.0)]):
        parts, minibatches = random_parts(1)
        before = losses(*parts)
        optimizers = [keras.optimizers.SGD(rate) for rate in rates]
        loss, _ = recipe.make_update(*parts, *optimizers, 0.9, 0.0, SPACE, -2.0)(*minibatches)
        assert float(loss) == pytest.approx(before[0], rel=1e-5)
        assert losses(*parts)[which] < before[which]


def test_acting_draws_around_the_greedy_action_and_within_the_bounds():
    keras.utils.set_random_seed(1)
    model = recipe.build_actor(3, SPACE, 8)
    act, obs = recipe.make_act(model, SPACE), np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.testing.assert_allclose(act(obs, np.zeros((100, 2), np.float32)), model(obs)[0], rtol=1e-5, atol=1e-6)
    drawn = np.array(act(obs, np.full((100, 2), 1e3, np.float32)))
    np.testing.assert_allclose(drawn, np.broadcast_to(SPACE.high, (100, 2)), rtol=1e-6)
    drawn = np.array(act(obs, np.full((100, 2), -1e3, np.float32)))
    np.testing.assert_allclose(drawn, np.broadcast_to(SPACE.low, (100, 2)), atol=1e-6)
    assert act.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [3e-3, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **settings)
    x = np.linspace(-0.9, 0.9, 7, dtype=np.float32)[:, None]
    action, mean, log_std = keras.models.load_model(run / "model.keras")(x)
    error = np.max(abs(action - np.c_[2 * x, 2.5 + 2.5 * x]))
    assert (error < 0.5) == (learning_rate > 1e-9), error
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    assert (np.mean(scores) > -0.05) == (learning_rate > 1e-9), scores
    # The temperature has brought the entropy of the policy to its target, -1 for each of two numbers.
    parts = (tf.repeat(part, 1000, axis=0) for part in (mean, log_std))
    noise = np.random.default_rng(0).standard_normal((7000, 2), np.float32)
    entropy = -float(np.mean(recipe.squashed_normal(*parts, tf.constant(noise))[1]))
    assert (abs(entropy + 2) < 0.5) == (learning_rate > 1e-9), entropy


def endless_q(run):
    """q of the network `critic` in the world without an end, for actions all over the range."""
    action = np.array([[-0.4, -0.4], [0.0, 0.0], [0.4, 0.4], [0.4, -0.4]], np.float32)
    return np.array(keras.models.load_model(run / "critic.keras")([np.zeros((4, 1), np.float32), action]))


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "run"), **PROBE)
    assert abs(endless_q(run) - 10).max() < 0.5  # 1 / (1 - 0.9), for the temperature has fallen to about 0
    assert read_episodes(run)["temperature"][-1] < 0.01  # no action is better, so every policy may stay random
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
