"""The compiled PPO on Breakout: its convolution is one, the rollout is the world's, and it learns."""

import json
import math

import gymnasium as gym
import keras
import numpy as np
import pytest
import tensorflow as tf

from common.cli import UsageError
from envs.checked import make_vec
from envs.tensor import breakout
from recipes import compiled_ppo_breakout as recipe
from recipes import compiled_ppo_cartpole as sibling

SHAPE = (10, 10, 4)


def model_of(network="convolution", shape=SHAPE):
    keras.utils.set_random_seed(0)
    return recipe.build_actor_critic(shape, 3, network, 4, 8)


def bytes_of(count, shape=SHAPE):
    return np.random.default_rng(0).integers(0, 2, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("shape", [SHAPE, (5, 7, 2)])
def test_the_matrix_product_of_patches_is_a_convolution(shape):
    model, obs = model_of(shape=shape), bytes_of(6, shape)
    layer = model.get_layer("critic_1")
    kernel, bias = layer.get_weights()
    height, width, planes = shape
    wanted = tf.nn.conv2d(np.float32(obs), kernel.reshape(3, 3, planes, 4), 1, "VALID") + bias
    found = keras.Model(model.input, layer.output)(obs)
    assert found.shape == (6, height - 2, width - 2, 4)
    np.testing.assert_allclose(found, tf.nn.relu(wanted), atol=1e-5)


def test_one_patch_by_hand():
    model, obs = model_of(), np.zeros((1, *SHAPE), np.uint8)
    obs[0, 4, 6, 3] = 1  # the last plane at row 4, column 6
    kernel = np.zeros((36, 4), np.float32)
    kernel[9 * 4 - 1, 0] = 2.0  # the last plane of the lower right cell: it is seen from row 2, column 4
    kernel[3, 1] = 5.0  # the last plane of the upper left cell: from row 4, column 6
    model.get_layer("actor_1").set_weights([kernel, np.zeros(4, np.float32)])
    features = keras.Model(model.input, model.get_layer("actor_1").output)(obs).numpy()[0]
    assert {(*map(int, place), float(features[tuple(place)])) for place in np.argwhere(features)} == {
        (2, 4, 0, 2.0),
        (4, 6, 1, 5.0),
    }


@pytest.mark.parametrize("network", ["dense", "convolution"])
def test_a_saved_model_takes_an_observation_as_the_world_gives_it(network, tmp_path):
    model = model_of(network)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # in safe mode
    obs, _ = gym.make_vec("MinAtarBreakout-v0", 3).reset(seed=0)
    assert obs.dtype == np.uint8
    logits, value = loaded(obs)
    assert logits.shape == (3, 3) and value.shape == (3, 1)
    for found, wanted in zip((logits, value), model(obs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_actor_and_critic_share_no_weight():
    for network in ("dense", "convolution"):
        model, obs = model_of(network), tf.constant(bytes_of(2))
        with tf.GradientTape(persistent=True) as tape:
            logits, value = model(obs)
        weights = model.trainable_variables
        of_actor, of_critic = ([g is not None for g in tape.gradient(y, weights)] for y in (logits, value))
        assert len(weights) == 12 and sum(of_actor) == sum(of_critic) == 6
        assert not any(a and c for a, c in zip(of_actor, of_critic, strict=True))


def test_a_rollout_is_what_the_world_does_with_its_actions_step_by_step():
    model, n, length = model_of(), 6, 60
    start = breakout.reset([1, 2], n)
    play = tf.function(lambda state: recipe.play(model, breakout, state, tf.constant(7), length), jit_compile=True)
    steps, step = play(start), tf.function(breakout.step, jit_compile=True)
    state = start
    for t in range(length):
        np.testing.assert_array_equal(steps.obs[t], breakout.observe(state))
        state, last_obs, reward, terminated, truncated = step(state, steps.action[t], tf.constant([7, 2 * t + 1]))
        np.testing.assert_array_equal(steps.last_obs[t], last_obs)
        np.testing.assert_array_equal(steps.reward[t], reward)
        np.testing.assert_array_equal(steps.terminated[t], terminated)
        np.testing.assert_array_equal(steps.ended[t], terminated | truncated)
        np.testing.assert_array_equal(steps.after.now[t], state.now)
    lost = steps.last_obs.numpy()[steps.terminated.numpy()]
    assert len(lost) and lost[:, 9, :, 1].sum() == len(lost)  # the ball is at the bottom, not where the next one starts
    assert steps.reward.numpy().sum() > 0 and steps.obs.dtype == tf.uint8


def make_step(model, learning_rate=1e-3):
    optimizer = keras.optimizers.Adam(learning_rate)
    return recipe.make_train_step(model, optimizer, breakout, 16, 2, 32, 0.99, 0.95, 0.2, 0.5, 0.01)


@pytest.mark.parametrize("network", ["dense", "convolution"])
def test_one_program_serves_all_calls_and_changes_the_weights_alone_by_its_arguments(network):
    def run(seed):
        model = model_of(network)
        step, state = make_step(model), breakout.reset([0, 0], 8)
        for k in range(3):
            state, reward, ended, loss, entropy = step(state, tf.constant(seed + k))
        assert step.experimental_get_tracing_count() == 1
        assert reward.shape == ended.shape == (16, 8) and math.isfinite(loss) and 0 < entropy <= math.log(3) + 1e-6
        return model.get_weights()

    first = run(0)
    for weights, again, other, before in zip(first, run(0), run(10), model_of(network).get_weights(), strict=True):
        np.testing.assert_array_equal(weights, again)
        assert (weights != other).any() and (weights != before).any()


def test_losses_and_advantages_are_those_of_the_recipe_that_is_its_sibling():
    rng = np.random.default_rng(0)
    log_prob, old, advantage = (tf.constant(rng.normal(size=50), tf.float32) for _ in range(3))
    np.testing.assert_array_equal(
        recipe.actor_loss(log_prob, old, advantage, 0.2), sibling.actor_loss(log_prob, old, advantage, 0.2)
    )
    reward, value, following = (tf.constant(rng.normal(size=(9, 5)), tf.float32) for _ in range(3))
    terminated = tf.constant(rng.random((9, 5)) < 0.2)
    ended = terminated | tf.constant(rng.random((9, 5)) < 0.2)
    parts = reward, terminated, ended, value, following, 0.9, 0.8
    np.testing.assert_array_equal(recipe.advantages(*parts), sibling.advantages(*parts))


@pytest.mark.slow
def test_it_breaks_bricks_and_with_a_learning_rate_of_nothing_it_does_not(tmp_path):
    scores = {}
    for name, rate in (("learns", {}), ("does not", {"learning_rate": 1e-30})):
        run = recipe.train(seed=0, logdir=str(tmp_path / name), steps=400_000, eval_episodes=30, **rate)
        scores[name] = np.mean(json.loads((run / "evaluation.json").read_text())["scores"])
    assert scores["learns"] > 4 and scores["does not"] < 2


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"env_kwargs": {"sticky_action_prob": 0.0}}, "the worlds of envs/tensor/ have no arguments"),
        ({"env_id": "CartPole-v1"}, "planes of zeros and ones are wanted"),
        ({"env_id": "Gridworld-v0"}, "planes of zeros and ones are wanted"),
        ({"batch_size": 100}, "--batch_size=100 does not divide"),
    ],
)
def test_what_it_cannot_serve_is_refused(flags, what, tmp_path):
    with pytest.raises((UsageError, gym.error.Error), match=what):
        recipe.train(logdir=str(tmp_path / "run"), **flags)
    assert not [*tmp_path.iterdir()]


def test_other_recipes_refuse_this_world():
    with pytest.raises(gym.error.Error, match="vectors of numbers are wanted"):
        make_vec("MinAtarBreakout-v0", 1, "vectors")
