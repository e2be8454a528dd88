"""PPO for vectors of actions: densities and scales by hand, actions that only the world gets clipped, probe worlds.

Advantages are tried in test_a2c_cartpole.py, the losses in test_ppo_cartpole.py.
"""

import inspect
import json
import math
import os
import subprocess
import sys
from functools import partial
from statistics import NormalDist
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from test_a2c_cartpole import rollouts_of, settings_of

from common.lazy import keras, tf
from envs.checked import make_vec
from recipes import ppo_pendulum as recipe

# Enough to learn a probe world in a few seconds.
PROBE = {
    "num_envs": 8, "hidden_units": 16, "learning_rate": 0.01, "learning_rate_decay_steps": 8000, "steps": 8000,
    "adam_epsilon": 1e-5, "max_gradient_norm": 0.5, "log_deviation": -0.7, "rollout_length": 16, "epochs": 8,
    "batch_size": 64, "gamma": 0.9, "gae_lambda": 0.95, "normalize_advantage": True, "clip_range": 0.2,
    "value_clip_range": 0.0, "value_weight": 0.5, "entropy_weight": 0.0, "target_kl": 0.0, "eval_interval": 0,
    "eval_episodes": 20, "save_interval": 8000,
}  # fmt: skip
# A rollout is a game of ten steps and its reset; with the error of one step alone it is clear what a wrong end changes.
LONG = {
    **PROBE, "steps": 6000, "learning_rate_decay_steps": 6000, "rollout_length": 11, "batch_size": 44,
    "gae_lambda": 0.0,
}  # fmt: skip
ASYMMETRIC = gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 5], np.float32))  # ChosenVector's


def outputs(folder, obs):
    """Greedy action [B, A], mean [B, A], log deviation [B, A], value [B] of the network that a run saved."""
    *parts, value = keras.models.load_model(folder / "model.keras")(np.array(obs, np.float32))
    return *(part.numpy() for part in parts), value.numpy()[:, 0]


def test_log_densities_of_vectors_are_sums():
    mean, deviation, action = [[0.5, -1.0], [0.0, 2.0]], [[2.0, 1.0], [0.5, 0.1]], [[1.5, 0.0], [-0.5, 2.0]]
    found = recipe.log_probs(tf.constant(mean), tf.math.log(deviation), tf.constant(action)).numpy()
    # z = .5 and 1: -(.125 + ln 2 + .918939) - (.5 + 0 + .918939), where .918939 = ln(2 pi) / 2
    assert found[0] == pytest.approx(-3.156024)
    for row, m, d, a in zip(found, mean, deviation, action, strict=True):
        density = math.prod(NormalDist(*normal).pdf(x) for *normal, x in zip(m, d, a, strict=True))
        assert row == pytest.approx(math.log(density), rel=1e-5)


def test_entropies_of_vectors_are_sums():
    # ln(2 pi e) / 2 = 1.418939 for each number, and the logs of the deviations
    found = recipe.entropies(tf.constant([[0.0, 0.0], [math.log(2), -1.0]]))
    np.testing.assert_allclose(found, [2.837877, 2.837877 + math.log(2) - 1], rtol=1e-6)
    # A density's entropy is the mean of -log of it, here over a fine grid.
    normal, grid = NormalDist(0, 2), np.linspace(-20, 20, 40_001)
    density = np.array([normal.pdf(x) for x in grid])
    mean = -(density * np.log(density)).sum() * 0.001
    assert float(recipe.entropies(tf.constant([[math.log(2)]]))[0]) == pytest.approx(mean, rel=1e-5)


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    with pytest.raises(AssertionError):
        recipe.log_probs(tf.ones((3, 2)), tf.ones((1, 2)), tf.ones((3, 2)))
    with pytest.raises(AssertionError):
        recipe.log_probs(tf.ones((3, 2)), tf.ones((3, 2)), tf.ones((3, 1)))


def linear(slope=1.0, mean=(0.0,), log_deviation=(0.0,), scale=1.0):
    """A network of one layer: mean and deviation that are the same whatever it sees, value scale * slope * obs."""
    obs, size = keras.Input((1,)), len(mean)
    heads = [keras.layers.Dense(size, name=name) for name in ("mean", "log_deviation")]
    for head, bias in zip(heads, (mean, log_deviation), strict=True):
        head.build((None, 1))
        head.set_weights([np.zeros((1, size)), np.array(bias)])
    value, rescaled = (keras.layers.Dense(1, use_bias=False, name=name) for name in ("value", "return_scale"))
    rescaled.trainable = False
    mean, log_deviation = (head(obs) for head in heads)
    model = keras.Model(obs, [mean, mean, log_deviation, rescaled(value(obs))])
    value.set_weights([np.array([[slope]])])
    rescaled.set_weights([np.array([[scale]])])
    return model


def rollout(obs, reward, action, terminated=(), truncated=(), resets=()):
    """A rollout of one game, [T, 1, ...]; ends and resets are given by the numbers of their steps."""
    flags = lambda steps: np.array([[t in steps] for t in range(len(reward))])  # noqa: E731
    part = lambda x, *shape: np.reshape(x, (-1, 1, *shape)).astype(np.float32)  # noqa: E731
    return (
        part(obs, 1), np.reshape(action, (len(reward), 1, -1)).astype(np.float32), part(reward),
        flags(terminated), flags({*terminated, *truncated}), ~flags(resets),
    )  # fmt: skip


SETTINGS = {
    "gamma": 0.9, "gae_lambda": 0.5, "clip_range": 0.2, "value_clip_range": 0.0, "value_weight": 0.5,
    "entropy_weight": 0.0, "normalize_advantage": False, "target_kl": 0.0,
}  # fmt: skip


def updated(parts, model, minibatches, rate=1.0, **changes):
    """(what a round of plain gradient descent returns, how many steps it was); the model is changed."""
    optimizer = keras.optimizers.SGD(rate)
    update = recipe.make_update(model, optimizer, **{**SETTINGS, **changes})
    return [float(x) for x in update(*parts, np.array(minibatches))], int(optimizer.iterations)


def bias(model, name):
    return model.get_layer(name).bias.numpy()


def test_one_update_by_hand():
    """The values are those of the observations, half of them times a scale of 2."""
    model = linear(slope=0.5, scale=2.0)
    parts = rollout([1.0, 2.0, 3.0], [1.0, 0.5], [0.5, -1.0], terminated=[1])
    (loss, entropy, kl), _ = updated(parts, model, [[1, 0]], entropy_weight=0.1)
    # Advantages 1.125 and -1.5 as in A2C, in units of the scale .5625 and -.75. All ratios are 1.
    # Actor: (-.5625 + .75) / 2 = .09375. Critic: (.5625² + .75²) / 2 / 2 = .219727. Entropy: ln(2 pi e) / 2
    assert entropy == pytest.approx(1.418939) and kl == pytest.approx(0, abs=1e-6)
    assert loss == pytest.approx(0.09375 + 0.5 * 0.219727 - 0.1 * 1.418939, abs=1e-6)
    # The slope of the unscaled value: -.5 * (.5625 * 1 - .75 * 2) / 2 = .234375, downhill.
    np.testing.assert_allclose(model.get_layer("value").kernel, [[0.5 - 0.234375]], rtol=1e-6)
    # Of the mean: -A * u, (-.5625 * .5 - .75 * 1) / 2. Of the log deviation: -A * (u² - 1), .5625 * .75 / 2, less .1.
    np.testing.assert_allclose(bias(model, "mean"), [0.515625], rtol=1e-6)
    np.testing.assert_allclose(bias(model, "log_deviation"), [0.1 - 0.2109375], rtol=1e-6)
    assert model.get_layer("return_scale").kernel.numpy().item() == 2  # a scale is not trained


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_in_units_of_the_scale_a_value_clip_is_as_tight(scale):
    """The value of the observation 1 is `scale`, the return 2 of these; half of the way with one step."""
    parts = rollout([1.0, 1.0], [2 * scale], [0.0], terminated=[0])
    for clip_range, slope in ((0.0, 1.75), (0.2, 1.5), (0.6, 1.75)):
        model = linear(scale=scale)
        updated(parts, model, [[0]] * 2, value_clip_range=clip_range)
        np.testing.assert_allclose(model.get_layer("value").kernel, [[slope]], rtol=1e-6)


def test_each_minibatch_is_standardised_without_the_steps_that_only_reset():
    """Three games of one step, which the value 0 is predicted for, and two resets that are paid nonsense."""
    parts = rollout([0.0] * 6, [1.0, 99.0, 3.0, -99.0, 5.0], [1, 7, 2, -7, 3], terminated=[0, 2, 4], resets=[1, 3])
    # Advantages 1 and 3 → -1 and 1, so -A * u is (1 - 2) / 2; 5 and 3 → 1 and -1: (-3 + 2) / 2.
    for rows, mean in (([0, 1, 2], 0.5), ([4, 3, 2], 0.5), ([0], 0.0), ([1, 3], 0.0)):
        for scale in (1.0, 10.0):
            model = linear(scale=scale)
            found, _ = updated(parts, model, [rows], normalize_advantage=True)
            np.testing.assert_allclose(bias(model, "mean"), [mean], atol=1e-6)
            assert np.isfinite(found).all()


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_nothing_of_a_step_that_only_resets_is_learnt(end):
    """Step 1 ends a game, step 2 resets, step 3 is of the next game; only what a terminated game shows is no value."""
    learnt = []
    for reward, action, shown in ((0.0, 0.0, -0.5), (1e4, 3.0, -0.5 if end == "truncated" else 300.0)):
        model = linear()
        parts = rollout(
            [0.5, 1.0, shown, 2.0, 1.0], [1.0, 0.0, reward, -1.0], [0.1, -0.2, action, 0.3], **{end: [1]}, resets=[2]
        )
        minibatches = [[0, 2], [3, 1], [2, 1], [3, 0]]
        found, _ = updated(
            parts, model, minibatches, rate=0.1, normalize_advantage=True, value_clip_range=0.5, entropy_weight=0.1
        )
        learnt.append([found, *model.get_weights()])
    for one, other in zip(*learnt, strict=True):
        np.testing.assert_array_equal(one, other)
    before = linear().get_weights()
    assert sum((x != y).any() for x, y in zip(learnt[0][1:], before, strict=True)) == 5  # all but the scale


@pytest.mark.parametrize(("target_kl", "count"), [(0.0, 3), (0.05, 1), (1000.0, 3)])
def test_a_divergence_above_the_target_stops_the_round(target_kl, count):
    """One step with the action 1: the mean goes from 0 to 1, and the density to e^.5 = 1.65 times that before."""
    model = linear()
    parts = rollout([0.0, 0.0], [1.0], [1.0], terminated=[0])
    (_, _, kl), steps = updated(parts, model, [[0]] * 3, clip_range=1000.0, target_kl=target_kl)
    assert steps == count
    if count == 1:  # the first divergence is 0, the second e^.5 - 1 - .5
        np.testing.assert_allclose(bias(model, "mean"), [1.0], rtol=1e-6)
        assert kl == pytest.approx((math.exp(0.5) - 1.5) / 2, rel=1e-5)


def test_a_round_is_traced_once_and_the_loss_of_a_network_that_broke_says_so():
    model = recipe.build_actor_critic(1, ASYMMETRIC, 8, 0.0)
    update = recipe.make_update(model, keras.optimizers.SGD(0.01), **SETTINGS)
    parts = rollout([1.0, 2.0, 3.0], [1.0, 0.5], [[0.5, 0.1], [-1.0, 0.2]], terminated=[1])
    for _ in range(2):
        assert np.isfinite(update(*parts, np.array([[0, 1]] * 4))).all()
    model.get_layer("mean").set_weights([np.full((8, 2), np.nan), np.zeros(2)])
    assert np.isnan(update(*parts, np.array([[0, 1]] * 4))[0])  # which `train` answers with one line
    assert update.experimental_get_tracing_count() == 1


def untrained(size):
    """A network that sees `size` numbers, whose means are far from each other, with scales of its own."""
    keras.utils.set_random_seed(0)
    model, rng = recipe.build_actor_critic(size, ASYMMETRIC, 16, 0.0), np.random.default_rng(0)
    model.get_layer("mean").set_weights([rng.normal(size=(16, 2)), np.array([0.5, -0.25])])
    deviation = model.get_layer("log_deviation")
    deviation.set_weights([deviation.kernel.numpy(), np.log([0.25, 2.0])])
    model.get_layer("obs_scale").set_weights([rng.normal(size=size), 10 ** rng.uniform(-2, 2, size)])
    return model


def with_noise(noise, actor, obs):
    """Actions with this number instead of each random one."""
    return recipe.act(actor, obs, SimpleNamespace(standard_normal=partial(np.full, fill_value=noise)))


def test_in_numpy_the_actor_has_the_mean_and_the_deviation_of_the_model():
    model, rng = untrained(3), np.random.default_rng(1)
    obs = (rng.normal(size=(500, 3)) * 10 ** rng.uniform(-2, 4, size=(500, 1))).astype(np.float32)
    seen, variance = model.get_layer("obs_scale").get_weights()
    far = np.abs((obs - seen) / variance**0.5) > 10  # beyond ten deviations, where both clip
    assert far.any(axis=0).all() and (~far).any(axis=0).all()
    head = model.get_layer("mean")
    for gain in (1, 2):  # the actor is as new as the model
        head.set_weights([gain * head.kernel.numpy(), head.bias.numpy()])
        _, mean, log_deviation, _ = (part.numpy() for part in model(obs))
        assert mean.std(axis=0).min() > 0.5
        for noise in (0.0, 1.0, -2.0):
            found = with_noise(noise, recipe.actor_of(model), obs)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, mean + noise * np.exp(log_deviation), rtol=1e-5, atol=1e-5)


def test_in_numpy_what_is_further_than_ten_deviations_away_counts_as_ten():
    actor = seen, deviation, *_ = recipe.actor_of(untrained(3))
    sides = np.random.default_rng(0).choice([-1, 1], (20, 3))
    nine, ten, far = (with_noise(0.0, actor, np.float32(seen + k * sides * deviation)) for k in (9, 10, 1e6))
    np.testing.assert_allclose(far, ten, rtol=1e-5, atol=1e-5)
    assert abs(nine - ten).max() > 1e-3


def test_actions_follow_the_distribution_and_the_seed():
    model, obs = untrained(1), np.array([[0.3], [-0.2]], np.float32)
    _, mean, log_deviation, _ = (part.numpy() for part in model(obs))
    actor, rows, fit = recipe.actor_of(model), obs.repeat(10_000, axis=0), []
    assert (abs(mean[0] - mean[1]) > 0.1).all()
    uniform = partial(np.random.default_rng(2).uniform, -(3**0.5), 3**0.5)  # of the same mean and deviation
    for noise in (np.random.default_rng(2), SimpleNamespace(standard_normal=lambda shape: uniform(size=shape))):
        u = recipe.act(actor, rows, noise).reshape(2, 10_000, 2).astype(float)
        z = (u - mean[:, None]) / np.exp(log_deviation)[:, None]
        # Each within five standard errors of 10,000 draws: mean, deviation, no correlation, the share near the mean.
        assert (abs(z.mean(1)) < 5 / 100).all() and (abs(z.std(1) - 1) < 5 / 20_000**0.5).all()
        assert (abs((z[..., 0] * z[..., 1]).mean(1)) < 5 / 100).all()
        share = NormalDist().cdf(1) - NormalDist().cdf(-1)
        fit.append((abs((abs(z) < 1).mean(1) - share) < 5 * (share * (1 - share) / 10_000) ** 0.5).all())
    assert fit == [True, False]
    one, same, other = (recipe.act(actor, rows, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(axis=0).all() and (one[0] != one[1]).all()


class Recording(gym.vector.VectorWrapper):
    """Keeps the actions that the world gets."""

    def __init__(self, env):
        super().__init__(env)
        self.taken = []

    def step(self, actions):
        self.taken.append(np.array(actions))
        return self.env.step(actions)


def test_actions_are_kept_as_drawn_and_only_the_world_gets_them_clipped(tmp_path, monkeypatch):
    worlds, drawn, make, act = [], [], recipe.make_vec, recipe.act

    def recorded(*args, **kwargs):
        worlds.append(Recording(make(*args, **kwargs)))
        return worlds[-1]

    def noted(*args):
        drawn.append(act(*args))
        return drawn[-1].copy()

    monkeypatch.setattr(recipe, "make_vec", recorded)
    monkeypatch.setattr(recipe, "act", noted)
    rollouts = rollouts_of(
        recipe, env_id="probes/ChosenVector-v0", log_deviation=0.5, num_envs=50, hidden_units=4, rollout_length=8,
        epochs=1, batch_size=400, steps=300, eval_episodes=0, logdir=str(tmp_path / "run"),
    )  # fmt: skip
    u, world = np.concatenate([games.action for games in rollouts]), np.array(worlds[0].taken)
    assert len(worlds) == 1 and u.shape == world.shape == (16, 50, 2) and u.dtype == world.dtype == np.float32
    np.testing.assert_array_equal(u, drawn)
    assert (u > 1).any(axis=(0, 1)).all() and (u < -1).any(axis=(0, 1)).all()
    for i, (low, high) in enumerate(((-2, 2), (0, 5))):
        number, real = u[..., i], world[..., i]
        assert (real[number > 1] == high).all() and (real[number < -1] == low).all()
        inside = np.abs(number) < 1
        np.testing.assert_allclose(real[inside], (low + (number + 1) / 2 * (high - low))[inside], atol=1e-5)


def test_an_action_for_the_world_by_hand():
    # From -2 to 2 and from 0 to 5: 0 is the middle, 2.5 + .5 * 2.5 = 3.75
    found = recipe.for_the_world(np.array([[-3.0, -1.0], [0.0, 0.5], [1.0, 7.0]], np.float32), ASYMMETRIC)
    assert found.tolist() == [[-2.0, 0.0], [0.0, 3.75], [2.0, 5.0]] and found.dtype == np.float32


def test_no_step_of_pendulum_is_terminal_and_play_goes_on_over_its_resets(tmp_path):
    """A twin of the environments, stepped by hand with the same actions."""
    rollouts = rollouts_of(recipe, **settings_of(recipe, tmp_path / "run", 2, 210, seed=3, steps=800))
    twins, over, number = make_vec("Pendulum-v1", 2, "vectors", actions="continuous"), np.zeros(2, bool), 0
    seen = twins.reset(seed=int(np.random.default_rng(3).integers(2**31)))[0]
    assert len(rollouts) == 2
    for games in rollouts:
        assert not games.terminated.any() and games.obs.shape == (211, 2, 3) and games.action.shape == (210, 2, 1)
        for t in range(210):
            np.testing.assert_array_equal(games.obs[t], seen)
            np.testing.assert_array_equal(games.playing[t], ~over)
            seen, reward, _, truncated, _ = twins.step(2 * np.clip(games.action[t], -1, 1))
            over = np.array(truncated)
            np.testing.assert_array_equal(games.obs[t + 1], seen)
            np.testing.assert_allclose(games.reward[t], reward, rtol=1e-6)
            np.testing.assert_array_equal(games.ended[t], over)
            assert over.all() == (number % 201 == 199)  # after 200 steps; the next one only resets
            number += 1


def test_weights_are_orthogonal_and_the_deviation_depends_on_nothing_that_is_seen():
    keras.utils.set_random_seed(0)
    model = recipe.build_actor_critic(3, ASYMMETRIC, 16, -0.5)
    gains = {"mean": 0.01, "value": 1.0}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense) and layer.name not in ("log_deviation", "return_scale"):
            kernel = layer.kernel.numpy()
            product = kernel @ kernel.T if len(kernel) < kernel.shape[1] else kernel.T @ kernel
            gain = gains.get(layer.name, 2**0.5)
            np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), rtol=1e-4, atol=1e-5 * gain**2)
    obs = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert (model(obs)[2].numpy() == np.float32(-0.5)).all()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(obs)[2])
    kernel, bias = tape.gradient(loss, model.get_layer("log_deviation").trainable_variables)
    assert not kernel.numpy().any() and bias.numpy().tolist() == [20, 20]
    names = {variable.path for variable in model.non_trainable_variables}
    assert len(names) == 3 and all("scale" in name for name in names)  # mean, variance, scale of returns


def test_the_greedy_action_is_the_mean_within_the_bounds():
    keras.utils.set_random_seed(0)
    model, rng = recipe.build_actor_critic(3, ASYMMETRIC, 16, -0.5), np.random.default_rng(0)
    head = model.get_layer("mean")
    head.set_weights([head.kernel.numpy() * 300, head.bias.numpy()])
    obs = (rng.normal(size=(500, 3)) * 10 ** rng.uniform(-3, 9, size=(500, 1))).astype(np.float32)
    action, mean, *_ = (part.numpy() for part in model(obs))
    assert (np.abs(mean) > 1).any(axis=0).all() and (np.abs(mean) < 1).any(axis=0).all()
    assert (action >= ASYMMETRIC.low).all() and (action <= ASYMMETRIC.high).all()
    np.testing.assert_allclose(action, [0, 2.5] + np.clip(mean, -1, 1) * [2, 2.5], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(action, recipe.for_the_world(mean, ASYMMETRIC), rtol=1e-5, atol=1e-6)  # as it trains


@pytest.mark.parametrize("seed", range(5))
def test_moments_of_parts_are_those_of_all_rows(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(1000, 3)) * [1, 1e-3, 50] + [0, 5, -1000]
    cuts = np.sort(rng.integers(0, 1001, size=12))  # some parts may be empty
    moments = recipe.Moments(3)
    for number, part in enumerate(np.split(rows, [cuts[0], cuts[0], *cuts[1:]])):
        moments.add(part)
        if number == 6:  # saved and loaded in between
            state, moments = moments.state(), recipe.Moments(3)
            moments.load(state)
    assert moments.count == 1000
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-9)


def test_returns_so_far_by_hand():
    # First game: .5 * 4 + 1 = 3 and .5 * 3 + 2 = 3.5, where it ends; a reset; 3 and .5 * 3 + 1 in the next game.
    # Second game: 0; 1; .5 + 1; .75 + 1; .875 + 1
    ended = np.array([[0, 0], [1, 0], [0, 0], [0, 0], [0, 1]]) > 0
    playing = np.array([[1, 1], [1, 1], [0, 1], [1, 1], [1, 1]]) > 0
    reward = np.array([[1.0, 0.0], [2.0, 1.0], [99.0, 1.0], [3.0, 1.0], [1.0, 1.0]], np.float32)
    discounted = np.array([4.0, 0.0])
    found = recipe.running_returns(reward, ended, playing, discounted, 0.5)
    np.testing.assert_allclose(found, [[3.0, 0.0], [3.5, 1.0], [0.0, 1.5], [3.0, 1.75], [2.5, 1.875]])
    assert discounted.tolist() == [2.5, 0.0]  # where the next rollout goes on


def test_scales_standardise_observations_and_give_values_in_units_of_the_world():
    keras.utils.set_random_seed(0)
    model = recipe.build_actor_critic(2, ASYMMETRIC, 16, -0.5)
    plain = recipe.build_actor_critic(2, ASYMMETRIC, 16, -0.5)
    plain.set_weights(model.get_weights())
    seen, earned = recipe.Moments(2), recipe.Moments(1)
    seen.mean, seen.variance, earned.variance = np.array([3.0, -1.0]), np.array([4.0, 0.01]), np.array([25.0])
    recipe.set_scales(model, seen, earned)
    standard = np.array([[1.0, -2.0], [0.0, 0.5]], np.float32)
    raw = standard * [2.0, 0.1] + [3.0, -1.0]
    for found, wanted, unit in zip(model(raw), plain(standard), (1, 1, 1, 5), strict=True):
        np.testing.assert_allclose(found, unit * wanted.numpy(), rtol=1e-4, atol=1e-5)
    # What is further than ten deviations away counts as ten.
    far, ten = np.array([[1e6, -1e6]]), np.array([[3.0 + 20, -1.0 - 1]])
    for found, wanted in zip(model(far), model(ten), strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_without_a_reward_values_are_in_units_of_the_world():
    """A scale near 0 would make the first reward that comes a gigantic return."""
    model = recipe.build_actor_critic(2, ASYMMETRIC, 4, -0.5)
    seen, earned = recipe.Moments(2), recipe.Moments(1)
    seen.add(np.array([[0.0, 1], [2, 3]]))
    for reward, scale in (([0.0, 0], 1), ([0, 4], 3**0.5)):  # 0, 0, 0, 4: a mean of 1, a variance of (3 + 9) / 4
        earned.add(np.array(reward)[:, None])
        recipe.set_scales(model, seen, earned)
        np.testing.assert_allclose(model.get_layer("return_scale").kernel, [[scale]], rtol=1e-6)


def checkpoint_of(folder):
    """(state, arrays) of the newest checkpoint."""
    newest = max((folder / "checkpoint").iterdir())
    return json.loads((newest / "state.json").read_text()), {p.stem: np.load(p) for p in newest.glob("*.npy")}


def test_scales_count_every_step_once_and_no_reset_and_are_in_the_model(tmp_path):
    """Games of one step, so that every other step only resets. Their rewards are their returns."""
    settings = {"num_envs": 4, "hidden_units": 4, "rollout_length": 5, "batch_size": 10, "epochs": 1, "steps": 60}
    settings.update(env_id="probes/ChosenVector-v0", logdir=str(tmp_path / "run"), eval_episodes=0)
    seen = rollouts_of(recipe, **settings)
    state, arrays = checkpoint_of(tmp_path / "run")
    assert state["seen.count"] == state["earned.count"] == state["step"] >= 60
    playing = np.concatenate([games.playing for games in seen])
    obs = np.concatenate([games.obs[:-1] for games in seen])[playing]
    reward = np.concatenate([games.reward for games in seen])[playing]
    assert len(reward) == state["step"] < playing.size
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    mean, variance = model.get_layer("obs_scale").get_weights()
    np.testing.assert_allclose([mean, variance], [obs.mean(0), obs.var(0)], rtol=1e-5)
    np.testing.assert_allclose([mean, variance], [arrays["seen.mean"], arrays["seen.variance"]], rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("return_scale").kernel, [[reward.std()]], rtol=1e-5)


def test_the_old_policy_of_an_update_has_the_scales_with_which_it_played(tmp_path, monkeypatch):
    played, learned, actor_of, make_update = [], [], recipe.actor_of, recipe.make_update
    scales = lambda model: np.array(model.get_layer("obs_scale").get_weights())  # noqa: E731

    def noted_actor(model):
        played.append(scales(model))
        return actor_of(model)

    def noted_update(model, *args):
        update = make_update(model, *args)

        def noted(*rollout):
            learned.append(scales(model))
            return update(*rollout)

        return noted

    monkeypatch.setattr(recipe, "actor_of", noted_actor)
    monkeypatch.setattr(recipe, "make_update", noted_update)
    settings = {"num_envs": 4, "hidden_units": 4, "rollout_length": 5, "batch_size": 10, "epochs": 1, "steps": 60}
    recipe.train("Pendulum-v1", logdir=str(tmp_path / "run"), eval_episodes=0, **settings)
    assert len(played) == len(learned) == 3
    np.testing.assert_array_equal(played, learned)
    assert (played[0] != played[1]).any() and (played[1] != played[2]).any()  # and they do change


def test_a_rollout_of_resets_alone_leaves_the_scales_as_they_are(tmp_path):
    """One game of one step, and rollouts of one step: every other one only resets."""
    settings = {"num_envs": 1, "hidden_units": 4, "rollout_length": 1, "batch_size": 1, "epochs": 1, "steps": 20}
    settings |= {"normalize_advantage": False, "eval_episodes": 0}
    run = recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **settings)
    assert checkpoint_of(run)[0]["seen.count"] == 20
    assert all(np.isfinite(part).all() for part in outputs(run, [[0.5]]))


@pytest.mark.slow
def test_a_model_alone_takes_raw_observations_where_this_repository_is_not(tmp_path):
    settings = {"num_envs": 2, "hidden_units": 4, "rollout_length": 50, "batch_size": 50, "epochs": 1, "steps": 400}
    run = recipe.train("Pendulum-v1", logdir=str(tmp_path / "run"), eval_episodes=0, **settings)
    _, arrays = checkpoint_of(run)
    assert np.abs(arrays["seen.mean"]).max() > 0.01 and arrays["earned.variance"].item() > 1.5  # not those of a new one
    obs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * [1, 1, 8]
    np.save(tmp_path / "obs.npy", obs)
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
outputs = keras.models.load_model(sys.argv[1])(np.load("obs.npy"))
np.savez("outputs.npz", *[keras.ops.convert_to_numpy(part) for part in outputs])
"""
    command = [sys.executable, "-c", code, str(run / "model.keras")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""})
    found = list(np.load(tmp_path / "outputs.npz").values())
    assert [part.shape for part in found] == [(50, 1), (50, 1), (50, 1), (50, 1)] and np.abs(found[0]).max() <= 2
    for part, wanted in zip(found, outputs(run, obs), strict=True):
        np.testing.assert_allclose(part.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-6)


def test_the_flags_reach_the_network_the_update_and_the_optimizer(tmp_path, monkeypatch):
    settings = {
        "gamma": 0.5, "gae_lambda": 0.75, "clip_range": 0.125, "value_clip_range": 0.375, "value_weight": 0.625,
        "entropy_weight": 0.0625, "normalize_advantage": False, "target_kl": 7.0,
    }  # fmt: skip
    reached, rates, rounds, original, build = [], [], [], recipe.make_update, recipe.build_actor_critic

    def spied(model, optimizer, *args):
        update = original(model, optimizer, *args)
        bound = inspect.signature(original).bind(model, optimizer, *args).arguments
        reached.append({name: bound[name] for name in settings})
        reached.append((optimizer.epsilon, optimizer.global_clipnorm, optimizer.clipnorm))

        def noted(*parts):
            rates.append(float(optimizer.learning_rate))
            rounds.append(parts[-1])
            return update(*parts)

        return noted

    monkeypatch.setattr(recipe, "make_update", spied)
    monkeypatch.setattr(recipe, "build_actor_critic", lambda *args: reached.append(args) or build(*args))
    recipe.train(
        "probes/EndlessVector-v0", logdir=str(tmp_path / "run"), num_envs=2, hidden_units=3, log_deviation=-0.125,
        steps=30, rollout_length=5, epochs=3, batch_size=2, learning_rate=0.1, learning_rate_decay_steps=40,
        max_gradient_norm=0.25, adam_epsilon=1e-3, eval_episodes=0, **settings,
    )  # fmt: skip
    obs_size, action_space, *others = reached[0]
    assert (obs_size, action_space.shape, others) == (1, (2,), [3, -0.125])
    assert reached[1:] == [settings, (1e-3, 0.25, None)]
    # The rate is that of a rollout's first step: 5 steps of two games, 5 more, then a reset of both and 4 steps make
    # 0, 10, 20 and 28, so .1 * (1 - 10 / 40) and so on.
    np.testing.assert_allclose(rates, [0.1, 0.075, 0.05, 0.03], rtol=1e-6)
    for minibatches in rounds:  # each epoch takes each step once, in an order of its own
        orders = minibatches.reshape(3, 10)
        assert (np.sort(orders) == np.arange(10)).all() and (orders[0] != orders[1]).any()


def test_what_it_cannot_serve_is_refused_in_one_line(tmp_path, run_recipe, no_tensorflow):
    for flags, said in (
        (["--rollout_length=10", "--num_envs=4", "--batch_size=32"], "does not divide the 40 steps"),
        (["--env_id=CartPole-v1"], "vectors of floats"),
    ):
        done = run_recipe("ppo_pendulum", *flags, PYTHONPATH=no_tensorflow)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert said in done.stderr and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [0.01, 1e-30])
def test_it_chooses_what_is_rewarded_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**PROBE, "learning_rate": learning_rate}
    run = recipe.train("probes/ChosenVector-v0", logdir=str(tmp_path / "run"), **settings)
    x = np.linspace(-0.9, 0.9, 7)[:, None]
    action, *_ = outputs(run, x)
    error = (action - np.concatenate([2 * x, 2.5 + 2.5 * x], axis=1)) / [2, 2.5]  # in half ranges
    assert (abs(error).max() < 0.15) == (learning_rate > 1e-9), error


@pytest.mark.slow
def test_a_truncated_game_goes_on_and_a_terminated_one_does_not(tmp_path, monkeypatch):
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "run"), **LONG)
    assert outputs(run, [[0.0]])[-1].item() == pytest.approx(10, abs=0.1)  # 1 / (1 - 0.9), in the world's units
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
    run = recipe.train("probes/EndlessVector-v0", logdir=str(tmp_path / "twin"), **LONG)
    # All steps look alike, and of ten one ends the game: v = 1 + .9 * .9 * v, so 1 / (1 - .81).
    assert outputs(run, [[0.0]])[-1].item() == pytest.approx(5.263, abs=0.1)
