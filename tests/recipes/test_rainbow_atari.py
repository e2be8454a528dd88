"""Rainbow: each of its parts by hand, alone and left out, its noise, its seeds, and what it leaves on disk."""

import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from pixels import SMALL_CHOICE

from common import run
from common.cli import UsageError
from common.files import read_csv, read_episodes
from common.lazy import keras, tf
from common.saved import load_policy
from recipes import rainbow_atari
from recipes.export import export
from recipes.play import play
from recipes.rainbow_atari import (
    build_optimizer,
    build_q_network,
    divergence,
    draw_noise,
    forward,
    importance_weights,
    make_act,
    make_update,
    projected,
    scaled,
    td_target,
    train,
)  # fmt: skip

PIXELS = "probes/PixelChoice-v0"
QUICK = {
    "env_id": PIXELS, "num_envs": 8, "buffer_size": 2000, "learning_starts": 80, "epsilon_decay_steps": 240,
    "learning_rate": 1e-3, "target_interval": 10, "eval_interval": 0, "eval_episodes": 20, "eval_epsilon": 0.0,
}  # fmt: skip
OFF = {
    "double": False, "dueling": False, "n_step": 1, "prioritized": False, "distributional": False, "noisy": False,
}  # fmt: skip
SMALL = {**QUICK, "env_id": SMALL_CHOICE}


def test_target_by_hand_the_network_chooses_and_the_target_network_values():
    # The network says [1, 2] and so prefers action 1; the target network says [5, 3] and would prefer action 0.
    reward, discount, next_q = tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([[5.0, 3.0], [5.0, 3.0]])
    np.testing.assert_allclose(td_target(reward, discount, next_q, tf.constant([1, 1])), [3.97, 1.0], rtol=1e-6)
    np.testing.assert_allclose(td_target(reward, discount, next_q, tf.constant([0, 0])), [5.95, 1.0], rtol=1e-6)


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    support, p = tf.constant([-1.0, 0.0, 1.0]), tf.ones((2, 3)) / 3
    with pytest.raises(AssertionError):
        td_target(tf.ones((2, 1)), tf.ones(2), tf.ones((2, 3)), tf.constant([0, 0]))
    with pytest.raises(AssertionError):
        projected(tf.ones((2, 1)), tf.ones(2), p, support)
    with pytest.raises(AssertionError):
        divergence(p, tf.ones((1, 3)))


def test_projection_by_hand():
    # Atoms -2 to 2. Half a reward and 0.9 z: -1.3, -0.4, 0.5, 1.4, 2.3, which is clipped to 2.
    #   -2: 0.3 * 0.1;  -1: 0.7 * 0.1 + 0.4 * 0.2;  0: 0.6 * 0.2 + 0.5 * 0.4;  1: 0.5 * 0.4 + 0.6 * 0.2;  2: the rest
    # Reward 1, nothing discounted: one atom further, the last two together. Terminated with 0.7: 0.3 on 0, 0.7 on 1.
    support, p = tf.range(-2.0, 3.0), tf.constant([[0.1, 0.2, 0.4, 0.2, 0.1]] * 5)
    reward, discount = tf.constant([0.5, 1.0, 0.7, 9.0, -9.0]), tf.constant([0.9, 1.0, 0.0, 0.9, 0.0])
    wanted = [
        [0.03, 0.15, 0.32, 0.32, 0.18], [0, 0.1, 0.2, 0.4, 0.3], [0, 0, 0.3, 0.7, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0],
    ]  # fmt: skip
    np.testing.assert_allclose(projected(reward, discount, p, support), wanted, atol=1e-6)


def test_projection_keeps_the_sum_and_the_mean():
    rng = np.random.default_rng(0)
    support, p = np.linspace(-10, 10, 51, dtype=np.float32), rng.dirichlet(np.ones(51), 40).astype(np.float32)
    reward, discount = rng.uniform(-1, 1, 40).astype(np.float32), rng.uniform(0, 0.9, 40).astype(np.float32)
    found = projected(reward, discount, p, support).numpy()  # |reward + discount z| stays below 10: nothing is clipped
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found @ support, reward + discount * (p @ support), atol=1e-4)
    assert (found >= 0).all()


def test_divergence_by_hand():
    # (1/2, 1/2, 0) from three thirds: 2 * 1/2 * ln((1/2) / (1/3)) = ln 1.5; from itself 0; (0, 1, 0): ln 3.
    target, logits = tf.constant([[0.5, 0.5, 0.0], [1 / 3] * 3, [0.0, 1.0, 0.0]]), tf.ones((3, 3)) * 7
    np.testing.assert_allclose(divergence(target, logits), [np.log(1.5), 0, np.log(3)], atol=1e-6)


def test_importance_weights_by_hand():
    # |error| 0.5, 1, 2, 4 to the power of 0.6 are the priorities; beta 0.4.
    priorities = np.array([0.5, 1, 2, 4]) ** 0.6
    weights = importance_weights(priorities / priorities.sum(), 0.4)
    np.testing.assert_allclose(weights, [1, 0.84675, 0.71698, 0.60710], atol=1e-5)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(importance_weights(np.full(3, 0.2), 1.0), [1, 1, 1])  # uniform draws need none


def set_head(model, kernel, bias):
    model.get_layer("head").set_weights([np.full(model.get_layer("head").kernel.shape, kernel), bias])


def test_dueling_head_by_hand():
    # Value 1 and advantages 1, 2, 6, whose mean is 3: q = 1 + (1, 2, 6) - 3.
    model = build_q_network((4, 36, 36), 3, None, True)
    set_head(model, 0, np.array([1, 1, 2, 6]))
    q, values = model(np.zeros((2, 4, 36, 36), np.uint8))
    np.testing.assert_allclose(q, [[-1, 0, 4]] * 2, atol=1e-6)
    assert values.shape == (2, 3, 1)


def test_distributional_head_by_hand():
    # Probabilities (0.1, 0.2, 0.4, 0.2, 0.1) and (0, 0, 0, 0.5, 0.5) of -2 to 2: means 0 and 1.5.
    model = build_q_network((4, 36, 36), 2, np.arange(-2.0, 3), False)
    set_head(model, 0, np.concatenate([np.log([0.1, 0.2, 0.4, 0.2, 0.1]), [-99, -99, -99, 5, 5]]))
    q, logits = model(np.zeros((1, 4, 36, 36), np.uint8))
    np.testing.assert_allclose(q, [[0, 1.5]], atol=1e-6)
    np.testing.assert_allclose(tf.nn.softmax(logits)[0, 1], [0, 0, 0, 0.5, 0.5], atol=1e-6)
    assert "support" not in {weight.path.split("/")[0] for weight in model.trainable_variables}


def test_dueling_and_distributional_together():
    # Value: atom logits (0, ln 2); advantages (ln 3, 0) and (-ln 3, 0), of mean 0: logits (ln 3, ln 2), (-ln 3, ln 2).
    model = build_q_network((4, 36, 36), 2, np.array([0.0, 1.0]), True)
    set_head(model, 0, np.array([0, np.log(2), np.log(3), 0, -np.log(3), 0]))
    q, _ = model(np.zeros((1, 4, 36, 36), np.uint8))
    np.testing.assert_allclose(q, [[2 / 5, 2 / (2 + 1 / 3)]], rtol=1e-5)


def test_noise_is_scaled_by_hand_and_fresh():
    np.testing.assert_allclose(scaled(np.array([-4, 0.25, 9, 0])), [-2, 0.5, 3, 0])
    model, rng = build_q_network((4, 36, 36), 2, None, True, 0.5), np.random.default_rng(0)
    noise = draw_noise(model, rng, 3)
    assert noise.shape == (3, 512 + 3) and noise.dtype == np.float32
    assert len({row.tobytes() for row in [*noise, *draw_noise(model, rng, 3)]}) == 6
    assert abs(np.mean(draw_noise(model, rng, 200) ** 2) - np.sqrt(2 / np.pi)) < 0.01  # E|x| of a normal x
    assert draw_noise(build_q_network((4, 36, 36), 2), rng, 3).shape == (3, 0)


def linear(kernel, sigma=None):
    """q = obs @ kernel, for obs [B, 2] and two actions, with noise of deviation `sigma` in its weights and biases."""
    obs = keras.Input((2,))
    head = keras.layers.Dense(2, name="head")(obs)
    outputs = [keras.layers.Reshape((2,))(head), keras.layers.Reshape((2, 1))(head)]
    if sigma is not None:
        start = keras.initializers.Constant(sigma)
        outputs.append(keras.layers.Dense(2, kernel_initializer=start, bias_initializer=start, name="sigma")(obs))
    model = keras.Model(obs, outputs)
    model.get_layer("head").set_weights([np.array(kernel, np.float32), np.zeros(2, np.float32)])
    return model


def test_noisy_weights_by_hand():
    # Weights identity + 0.1 * (-2, 1/2)' (3, 1) = [[0.4, -0.2], [0.15, 1.05]], bias 0.1 * (3, 1); obs (1, 2):
    # q = (0.4 + 0.3 + 0.3, -0.2 + 2.1 + 0.1). Without noise q is the observation.
    model, noise = linear(np.eye(2), 0.1), scaled(np.array([-4, 0.25, 9, 1], np.float32))
    q, logits = forward(model, np.array([[1, 2]], np.float32), noise)
    np.testing.assert_allclose(q, [[1, 2]], rtol=1e-6)
    np.testing.assert_allclose(logits, [[[1], [2]]], rtol=1e-6)
    q, _ = forward(model, np.array([[1, 0]], np.float32), noise)
    np.testing.assert_allclose(q, [[0.7, -0.1]], rtol=1e-5)
    np.testing.assert_array_equal(model(np.array([[1, 2]], np.float32))[0], [[1, 2]])  # the saved one has no noise


@pytest.mark.parametrize("bound", [0, 512**-0.5])
def test_each_game_has_noise_of_its_own_which_alone_decides_at_first(bound):
    """An untrained network explores: on one screen each of 6 actions is best for about a sixth of the draws.

    The paper's means, uniform up to 1 / sqrt(512), prefer one action on all screens, whatever the noise.
    """
    keras.utils.set_random_seed(0)
    support = np.linspace(-10, 10, 51, dtype=np.float32)
    model, rng = build_q_network((4, 36, 36), 6, support, True, 0.5), np.random.default_rng(0)
    obs = np.broadcast_to(rng.integers(0, 256, (4, 36, 36), dtype=np.uint8), (600, 4, 36, 36))
    noise = draw_noise(model, rng, 600)
    kernel = model.get_layer("head").kernel
    kernel.assign(kernel + rng.uniform(-bound, bound, kernel.shape))
    action, _ = make_act(model)(obs, noise)
    count = np.bincount(action, minlength=6)
    assert (count.min() > 50 and count.max() < 200) == (bound == 0), count
    alone, _ = make_act(model)(obs, noise[0])
    assert (alone == action[0]).numpy().all()  # one draw for all games: they act alike
    for row in (0, 599):
        q, _ = forward(model, obs[row : row + 1], noise[row])
        assert action[row] == int(tf.argmax(q[0]))


def test_on_a_trunk_in_bfloat16_head_and_noise_are_float32():
    support, rng = np.linspace(-10, 10, 51, dtype=np.float32), np.random.default_rng(0)
    exact, coarse = (build_q_network((4, 36, 36), 3, support, True, 0.5, d) for d in ("float32", "mixed_bfloat16"))
    coarse.set_weights(exact.get_weights())
    obs, noise = rng.integers(0, 256, (5, 4, 36, 36), dtype=np.uint8), draw_noise(exact, rng, 5)
    (q, _), (near, logits) = forward(exact, obs, noise), forward(coarse, obs, noise)
    assert near.dtype == logits.dtype == tf.float32 and np.abs(q).max() > 0.05
    np.testing.assert_allclose(near, q, atol=0.01)  # bfloat16 has 8 bits


def test_the_gradient_reaches_mu_and_sigma():
    # d q_0 / d mu_00 = obs_0 and d q_0 / d sigma_00 = obs_0 * noise of the input * noise of the output.
    model, noise = linear(np.eye(2), 0.1), np.array([-2, 0.5, 3, 1], np.float32)
    with tf.GradientTape() as tape:
        q = forward(model, np.array([[5, 7]], np.float32), noise)[0][0, 0]
    mu, mu_bias, sigma, sigma_bias = tape.gradient(q, model.trainable_variables)
    np.testing.assert_allclose(mu, [[5, 0], [7, 0]])
    np.testing.assert_allclose(sigma, [[5 * -2 * 3, 0], [7 * 0.5 * 3, 0]])
    np.testing.assert_allclose([mu_bias, sigma_bias], [[1, 0], [3, 0]])


@pytest.mark.parametrize(("double", "y"), [(True, [3.47, 1]), (False, [5.45, 1])])
def test_update_by_hand_with_weights(double, y):
    # The network is the identity; it says (1, 2) for the first next state. The target network says (5, 3) there.
    # y = 0.5 + 0.99 * 3 (double) or 0.5 + 0.99 * 5, and 1 where terminated; q(s, a) = (1, 2): errors above 1, and -1.
    # losses = y - 1 - 0.5 and 0.5; weights (0.5, 1): dloss/dq = (-0.5 * 1, 1 * 1) / 2; gradient descent, rate 0.1.
    model, target = linear(np.eye(2)), linear([[1, 1], [2, 1]])
    update = make_update(model, target, keras.optimizers.SGD(0.1), None, double)
    obs, next_obs = np.array([[1, 0], [0, 2]], np.float32), np.array([[1, 2], [1, 2]], np.float32)
    reward, discount, weight = (np.array(row, np.float32) for row in ([0.5, 1], [0.99, 0], [0.5, 1]))
    noise = np.zeros((3, 0), np.float32)
    loss, losses = update(obs, np.array([0, 1], np.int32), reward, discount, next_obs, weight, noise)
    np.testing.assert_allclose(losses, [y[0] - 1.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(loss, (0.5 * losses[0] + losses[1]) / 2, rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("head").kernel, [[1.025, 0], [0, 0.9]], rtol=1e-6)
    np.testing.assert_array_equal(target.get_layer("head").kernel, [[1, 1], [2, 1]])


def test_each_network_of_an_update_has_noise_of_its_own():
    """The target network and the choice of the action, too: each alone changes the loss, and only where it counts."""
    rows = (np.ones((1, 2), np.float32), np.zeros(1, np.int32), np.ones(1, np.float32), np.ones(1, np.float32))
    quiet = np.zeros((3, 4), np.float32)

    def loss(noise):
        model, target = linear([[1, 2], [0, 0]], 1.0), linear([[5, 3], [0, 0]], 1.0)
        update = make_update(model, target, keras.optimizers.SGD(0.0))
        return float(update(*rows, np.ones((1, 2), np.float32), np.ones(1, np.float32), noise)[0])

    assert loss(quiet) == 2.5  # 1 + 3, for action 1, against 1: an error of 3
    for network, wanted in enumerate((3.5, 4.5, 1.5)):  # the target is 1 higher; action 0 is chosen; q is 1 higher
        noise = quiet.copy()
        noise[network] = [0, 0, 1, 1]
        if network == 1:
            noise[network] = [0, 0, 2, 0]
        assert loss(noise) == wanted


def batch(seed, rows=4):
    rng = np.random.default_rng(seed)
    obs, next_obs = rng.integers(0, 256, (2, rows, 4, 36, 36), dtype=np.uint8)
    action, reward = rng.integers(0, 3, rows).astype(np.int32), rng.random(rows, np.float32)
    discount = np.array([0.9] * (rows - 1) + [0], np.float32)
    return obs, action, reward, discount, next_obs, np.ones(rows, np.float32)


@pytest.mark.slow
def test_one_trace_each_and_a_falling_loss():
    keras.utils.set_random_seed(0)
    support = np.linspace(-10, 10, 51, dtype=np.float32)
    model, target = (build_q_network((4, 36, 36), 3, support, True, 0.5) for _ in range(2))
    optimizer, rng = build_optimizer("adam", 1e-3), np.random.default_rng(0)
    update, act = make_update(model, target, optimizer, support), make_act(model)
    losses = [float(update(*batch(0), draw_noise(model, rng, 3))[0]) for _ in range(40)]
    _, each = update(*batch(1), draw_noise(model, rng, 3))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5]) and each.shape == (4,)
    for seed in (0, 1):
        noise = draw_noise(model, rng, 4)
        greedy, best = act(batch(seed)[0], noise)
        q, _ = forward(model, batch(seed)[0], noise)
        np.testing.assert_array_equal(greedy, q.numpy().argmax(1))
        np.testing.assert_allclose(best, q.numpy().max(1), rtol=1e-4)
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1


def rows_without_time(folder):
    return [line.split(",")[:2] + line.split(",")[3:] for line in (folder / "episodes.csv").read_text().splitlines()]


def weights(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


def score(folder, **settings):
    """Mean greedy score after a training on the small probe world; a perfect player scores 4, a blind one 2."""
    train(**{**SMALL, "seed": 11, **settings}, logdir=str(folder))
    return np.mean(json.loads((folder / "evaluation.json").read_text())["scores"])


@pytest.mark.slow
@pytest.mark.parametrize("part", OFF)
def test_each_part_alone_learns_from_pixels(part, tmp_path):
    alone = {**OFF, part: 3 if part == "n_step" else True}
    assert score(tmp_path / "run", **alone, episodes=120) >= 3.9


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [1e-3, 1e-30])
def test_all_parts_learn_from_pixels_and_their_twin_without_learning_does_not(tmp_path, learning_rate):
    found = score(tmp_path / "run", learning_rate=learning_rate, episodes=200)
    assert (found >= 3.9) == (learning_rate == 1e-3), found


@pytest.mark.slow
def test_the_cadence_of_draws_copies_and_noise(tmp_path, monkeypatch):
    """One update at each multiple of 4 steps, every seventh is followed by a copy, and no noise is used twice."""
    updates, copies, noises, betas = [], [], [], []
    make_update, weigh = rainbow_atari.make_update, rainbow_atari.importance_weights

    def make(model, target_model, *others):
        update, set_weights = make_update(model, target_model, *others), target_model.set_weights

        def counting(*rows):
            updates.append(rows)
            return update(*rows)

        target_model.set_weights = lambda weights: (copies.append(len(updates)), set_weights(weights))
        return counting

    def drawn(*args):
        noises.append(draw_noise(*args))
        return noises[-1]

    monkeypatch.setattr(rainbow_atari, "make_update", make)
    monkeypatch.setattr(rainbow_atari, "draw_noise", drawn)
    monkeypatch.setattr(rainbow_atari, "importance_weights", lambda p, beta: (betas.append(beta), weigh(p, beta))[1])
    changes = {"target_interval": 7, "eval_episodes": 0, "beta_steps": 80}
    train(**{**SMALL, **changes}, episodes=24, logdir=str(tmp_path / "run"))
    episodes = read_episodes(tmp_path / "run")
    assert len(updates) == episodes["step"][-1] // 4 - 64 // 4 > 7  # of the first 80 steps every fifth only reset
    assert copies == list(range(7, len(updates) + 1, 7))
    assert [len(noise) for noise in noises].count(3) == len(updates)
    assert len({row.tobytes() for noise in noises for row in noise}) == sum(map(len, noises))
    assert set(episodes["epsilon"]) == {0.0}
    np.testing.assert_allclose(betas[0], 0.4 + 0.6 * 72 / 80)  # the first after the 64 steps that are remembered then
    assert betas[-1] == 1 and (np.diff(betas) >= 0).all()


@pytest.mark.slow
def test_one_seed_repeats_bit_for_bit_and_another_differs(tmp_path):
    short = {**SMALL, "episodes": 24, "eval_episodes": 0}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(**short, seed=seed, logdir=str(tmp_path / name))
    a, b, c = (tmp_path / name for name in "abc")
    assert rows_without_time(a) == rows_without_time(b) != rows_without_time(c)
    for x, y, z in zip(weights(a), weights(b), weights(c), strict=True):
        np.testing.assert_array_equal(x, y)
        assert z.ndim == 1 or z.shape == (51, 1) or (x != z).any()  # biases begin alike, and the atoms are the same


@pytest.mark.slow
@pytest.mark.parametrize("prioritized", [True, False])
def test_whatever_is_drawn_was_seen_and_gets_its_priority(prioritized, tmp_path, monkeypatch):
    """The ring wraps, and games that end reset; no stack is made up. Without priorities all of them are 1."""
    seen, drawn, losses, priorities = set(), [], [], []
    make_update = rainbow_atari.make_update

    def make(*parts):
        update = make_update(*parts)

        def kept(*rows):
            loss, each = update(*rows)
            losses.append(each.numpy())
            return loss, each

        return kept

    class Watched(rainbow_atari.PrioritizedFrameReplayBuffer):
        def add(self, obs, action, reward, *others):
            super().add(obs, action, reward, *others)
            seen.update(row.tobytes() for row in obs)

        def sample(self, batch_size, rng):
            batch, rows, probability = super().sample(batch_size, rng)
            drawn.extend(row.tobytes() in seen for row in [*batch.obs, *batch.next_obs])
            return batch, rows, probability

        def set_priorities(self, rows, new):
            super().set_priorities(rows, new)
            priorities.append(new)

    monkeypatch.setattr(rainbow_atari, "PrioritizedFrameReplayBuffer", Watched)
    monkeypatch.setattr(rainbow_atari, "make_update", make)
    changes = {"buffer_size": 100, "eval_episodes": 0, "prioritized": prioritized}
    train(**{**SMALL, **changes}, episodes=48, logdir=str(tmp_path / "run"))
    assert len(drawn) > 1000 and all(drawn)
    wanted = np.maximum(losses, 1e-6) ** 0.5 if prioritized else np.ones_like(losses)
    np.testing.assert_allclose(priorities, wanted, rtol=1e-6)


@pytest.mark.slow
def test_a_run_resumes_with_everything_the_loop_had(tmp_path, monkeypatch):
    """What goes into the last save comes out of it, the priorities too; the games in progress begin anew."""
    quick = {**SMALL, "save_memory": True, "eval_episodes": 0, "logdir": str(tmp_path / "run")}
    saves, restores = [], []
    save, take = run.checkpoint.save, run.checkpoint.Carry.take

    def kept(tensors, state, arrays):
        weights = {name: [v.numpy() for v in tensor.variables] for name, tensor in tensors.items()}
        return weights, json.loads(json.dumps(state)), {name: array.copy() for name, array in arrays.items()}

    def saving(folder, step, identity, tensors, state, arrays, *others):
        saves.append(kept(tensors, state, arrays))
        save(folder, step, identity, tensors, state, arrays, *others)

    def taking(self, state, arrays):
        take(self, state, arrays)
        restores.append(kept(*self.parts()))

    monkeypatch.setattr(run.checkpoint, "save", saving)
    monkeypatch.setattr(run.checkpoint.Carry, "take", taking)
    train(**quick, episodes=48)
    before = saves[-1]
    train(**quick, episodes=56, resume=True)
    for name, parts in before[0].items():
        for x, y in zip(parts, restores[0][0][name], strict=True):
            np.testing.assert_array_equal(x, y)
    for name, array in before[2].items():
        np.testing.assert_array_equal(array, restores[0][2][name])
    assert {name: before[1][name] for name in restores[0][1]} == restores[0][1]
    assert any((x != y).any() for x, y in zip(before[0]["model"], before[0]["target_model"], strict=True))
    assert before[2]["memory.priorities"].any() and before[2]["memory.largest"] >= 1
    assert saves[-1][1]["updates"] > before[1]["updates"] > 20
    assert saves[-1][1]["step"] == before[1]["step"] + 4 * 8  # new games, each counted from its beginning
    grown = saves[-1][2]["memory.cursor"][1] - before[2]["memory.cursor"][1]
    assert grown == 4  # it went on in the old memory
    np.testing.assert_array_equal(saves[-1][2]["memory.frames"][:-grown], before[2]["memory.frames"])


class Killed(BaseException):
    """What no recipe can catch."""


@pytest.mark.slow
def test_a_run_that_is_killed_is_continued_from_its_last_save(tmp_path, monkeypatch):
    folder, save = tmp_path / "run", run.Run.save_every

    def dying(self, interval):
        save(self, interval)
        if self.carry.updates >= 10:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run.Run, "save_every", dying)
        with pytest.raises(Killed):
            train(**SMALL, episodes=48, save_interval=40, save_memory=True, logdir=str(folder))
    saved = int(sorted(path.name for path in (folder / "checkpoint").iterdir())[-1])
    assert saved >= 80
    train(logdir=str(folder), resume=True)
    step, episode = (read_episodes(folder)[name] for name in ("step", "episode"))
    assert (np.diff(episode) == 1).all() and (np.diff(step) >= 0).all() and 48 <= len(episode) < 56


@pytest.mark.slow
def test_the_folder_of_a_run_its_network_elsewhere_and_its_continuation(tmp_path, run_recipe):
    """Trained by its command from another folder, loaded in another process, played, continued, refused."""
    flags = [f"--{name}={value}" for name, value in {**QUICK, "eval_episodes": 3}.items()]
    done = run_recipe("rainbow_atari", *flags, "--episodes=32", "--logdir=run", "--save_memory")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert f"{PIXELS}, step " in done.stdout and done.stderr == "playing 3 games, greedy\n"
    names = {path.name.split(".")[0] for path in folder.iterdir()}
    assert names == {
        "config", "episodes", "model", "learning_curve", "events", "checkpoint", "evaluation", "evaluations", "best",
    }  # fmt: skip

    # The model loads where this repository is not, and gives q first; noise is no part of it.
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 84, 84), dtype=np.uint8)
    np.save(tmp_path / "obs.npy", obs)
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
np.save("q.npy", keras.models.load_model("run/model.keras")(np.load("obs.npy"))[0])
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    model = keras.models.load_model(folder / "model.keras")
    assert all(isinstance(part, keras.layers.Layer) for part in model.operations)  # others load from Keras 3.11 on
    policy = load_policy(folder / "model.keras", gym.spaces.Box(0, 255, (4, 84, 84), np.uint8), gym.spaces.Discrete(2))
    model.get_layer("sigma").set_weights([w * 1e6 for w in model.get_layer("sigma").get_weights()])
    q = model(obs)[0].numpy()
    assert q.shape == (5, 2)
    np.testing.assert_allclose(np.load(tmp_path / "q.npy"), q, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(policy(obs), q, rtol=1e-5, atol=1e-5)
    assert len(play(run=str(folder), episodes=2).returns) == 2
    export(run=str(folder), out=str(tmp_path / "saved"))  # compares the actions of both
    assert (tmp_path / "saved").is_dir()

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for refused, said in [
        ({"episodes": 5}, "holds a run already"),
        ({"resume": True, "noisy": False}, "--noisy=False, but the run was started with True"),
        ({"resume": True, "priority_exponent": 0.6}, "--priority_exponent=0.6"),
    ]:
        with pytest.raises(UsageError, match=said):
            train(logdir=str(folder), **refused)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    games = len(read_episodes(folder)["episode"])
    train(logdir=str(folder), resume=True, episodes=40)
    assert games < 40 <= len(read_episodes(folder)["episode"]) < 48
    assert len(read_csv(folder / "evaluations.csv")["mean"]) == 2


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(tmp_path):
    settings = {**SMALL, "learning_rate": 1e30, "save_interval": 20, "episodes": 400}
    with pytest.raises(FloatingPointError, match="the loss is .* at step"):
        train(**settings, logdir=str(tmp_path / "run"))
    assert all(np.isfinite(w).all() for w in weights(tmp_path / "run"))


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--nosy=false", "did you mean --noisy?"),
        ("--double=2", "true or false is wanted"),
        ("--n_step=0", "--n_step=0: it must be at least 1"),
        ("--atoms=1", "--atoms=1: it must be 2 to 201"),
        ("--v_max=0", "--v_max=0: it must be"),
        ("--sigma=-0.5", "--sigma=-0.5: it must be above 0"),
        ("--priority_exponent=1.5", "0.0 to 1.0"),
        ("--learning_starts=200000", "--learning_starts=200000 is larger"),
        ("--env_id=ALE/Pog-v5", "ALE/Pong-v5"),
        ("--env_id=CartPole-v1", "images are wanted"),
        ("--resume", "--logdir"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path, run_recipe, no_tensorflow, flag, said):
    done = run_recipe("rainbow_atari", flag, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_that_contradict_each_other_are_refused_in_python_too(tmp_path):
    with pytest.raises(UsageError, match="too small"):
        train(env_id=PIXELS, buffer_size=50, learning_starts=8, num_envs=8, logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
