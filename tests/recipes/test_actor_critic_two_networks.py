"""Actor-critic with two networks: what differs from its sibling, the networks and the entropy, and what it learns.

`tests/test_project.py` holds everything else to be the sibling's, line by line.
"""

import json
import math

import gymnasium as gym
import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras, tf
from envs.checked import make_vec
from recipes import actor_critic_two_networks as recipe
from recipes.actor_critic_two_networks import build_actor_critic, compute_loss, make_train_step, train

FOUR = gym.spaces.Box(-1.0, 1.0, (4,), np.float32)


def test_each_loss_reaches_its_own_network_alone():
    model = build_actor_critic(FOUR, 2, 8)
    actor, critic = (model.get_layer(name).trainable_variables for name in ("actor", "critic"))
    assert len(actor) == len(critic) == 4 and len(model.trainable_variables) == 8
    with tf.GradientTape(persistent=True) as tape:
        logits, values = model(tf.random.stateless_normal((5, 4), (0, 1)))
        losses = compute_loss(logits, values[:, 0], tf.constant([0, 1, 0, 1, 1], tf.int64), tf.range(5.0), 0.1)
    for loss, own, other in zip(losses, (actor, critic), (critic, actor), strict=True):
        assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(loss, own))
        assert tape.gradient(loss, other) == [None] * 4


def test_the_saved_model_holds_both_networks(tmp_path):
    model, obs = build_actor_critic(FOUR, 3, 8), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    logits, values = model(obs)
    assert logits.shape == (5, 3) and values.shape == (5, 1)
    np.testing.assert_allclose(loaded.get_layer("actor")(obs), logits, rtol=1e-6)
    np.testing.assert_allclose(loaded.get_layer("critic")(obs), values, rtol=1e-6)


def test_losses_and_their_gradients_by_hand():
    # Two rows, returns - values = (3, -0.5): mean 1.25, deviation 1.75, so the advantages are (1, -1).
    # actor: -(1 * ln 0.7 - 1 * ln 0.2) / 2 = -0.626381, less 0.1 times the mean entropy: of (0.7, 0.2, 0.1) it is
    # 0.801819, of (0.5, 0.3, 0.2) 1.029653, so 0.0915736. critic, Huber: (2.5 + 0.125) / 2.
    logits = tf.Variable(np.log([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), dtype=tf.float32)
    values, actions, returns = tf.Variable([1.0, 2.0]), tf.constant([0, 2], tf.int64), tf.constant([4.0, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        actor_loss, critic_loss = compute_loss(logits, values, actions, returns, entropy_weight=0.1)
    actor = (-math.log(0.7) + math.log(0.2)) / 2 - 0.0915736
    np.testing.assert_allclose([actor_loss, critic_loss], [actor, 1.3125], rtol=1e-5)
    assert tape.gradient(actor_loss, values) is None
    np.testing.assert_allclose(tape.gradient(critic_loss, values), [-0.5, 0.25])  # the text's critic gets none


def test_the_entropy_is_of_each_step_and_pulls_towards_chance():
    # Without advantages only the entropy is left: 0.7 * 0.356675 + 0.2 * 1.609438 + 0.1 * 2.302585 = 0.801819.
    # The text's mean(pi) * log(pi) would be (0.356675 + 1.609438 + 2.302585) / 3 = 1.422899, and without a gradient.
    logits, ones = tf.Variable(np.log([[0.7, 0.2, 0.1]]), dtype=tf.float32), tf.ones(1)
    with tf.GradientTape() as tape:
        loss, _ = compute_loss(logits, ones, tf.constant([0], tf.int64), ones, entropy_weight=1.0)
    np.testing.assert_allclose(loss, -0.8018186, rtol=1e-5)
    # dH/dlogits = -pi * (ln pi + H); descending on -H lowers the most probable one and lifts the others
    gradient = [p * (math.log(p) + 0.8018186) for p in (0.7, 0.2, 0.1)]
    np.testing.assert_allclose(tape.gradient(loss, logits), [gradient], atol=1e-6)
    assert gradient[0] > 0 > gradient[1]


def learn(env_id, updates, reward_scale, learning_rate=0.01, num_envs=16, gamma=0.9):
    """The model after so many updates, and the compiled function."""
    envs, rng = make_vec(env_id, num_envs, "vectors"), np.random.default_rng(11)
    keras.utils.set_random_seed(11)
    model = build_actor_critic(envs.single_observation_space, 2, 32)
    train_step = make_train_step(model, keras.optimizers.Adam(learning_rate), envs, reward_scale, gamma, 0.001)
    for _ in range(updates):
        obs, _ = envs.reset(seed=int(rng.integers(2**31)))
        train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
    return model, train_step


def without_a_gradient(*args):
    """The critic's loss as the text has it."""
    actor_loss, critic_loss = compute_loss(*args)
    return actor_loss, tf.stop_gradient(critic_loss) + 0.0 * critic_loss


def test_the_critic_learns_and_the_texts_does_not(monkeypatch):
    """One step, the reward is what is seen, -1 or 1; the text's critic stays where it began."""
    seen = np.array([[-1.0], [1.0]], np.float32)
    model, _ = learn("probes/SeenReward-v0", updates=200, reward_scale=1.0)
    np.testing.assert_allclose(model(seen)[1][:, 0], [-1, 1], atol=0.05)
    monkeypatch.setattr(recipe, "compute_loss", without_a_gradient)
    model, _ = learn("probes/SeenReward-v0", updates=200, reward_scale=1.0)
    untrained, _ = learn("probes/SeenReward-v0", updates=0, reward_scale=1.0)
    np.testing.assert_array_equal(model(seen)[1], untrained(seen)[1])
    assert np.abs(model(seen)[1][:, 0] - seen[:, 0]).max() > 0.5


def test_a_truncated_game_is_worth_its_going_on():
    """Reward 0.1 at every step is worth 0.1 / (1 - 0.9) = 1, though every game is truncated after 10 steps."""
    model, train_step = learn("probes/Endless-v0", updates=200, reward_scale=0.1)
    assert model(np.zeros((1, 1), np.float32))[1].numpy().item() == pytest.approx(1.0, abs=0.03)
    assert train_step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("learning_rate", [0.01, 0.0])
def test_the_action_that_pays_is_learnt(learning_rate):
    seen = np.array([[0.0], [1.0]], np.float32)
    model, _ = learn("probes/ChosenReward-v0", updates=200, reward_scale=1.0, learning_rate=learning_rate)
    assert (tf.nn.softmax(model(seen)[0]).numpy().diagonal().min() > 0.9) == (learning_rate > 1e-9)


def solved(folder):
    """Whether the last 100 training games, and 100 greedy ones apart, average 475."""
    scores = json.loads((folder / "evaluation.json").read_text())["scores"]
    return read_episodes(folder)["episode_return"][-100:].mean() >= 475, np.mean(scores) >= 475


@pytest.mark.slow
def test_cartpole_is_solved(tmp_path):
    train(seed=11, logdir=str(tmp_path / "run"))
    episodes = read_episodes(tmp_path / "run")
    assert solved(tmp_path / "run") == (True, True) and len(episodes["episode"]) < 3000
    assert episodes["episode_length"].max() == 500  # the text's games end at 300


@pytest.mark.slow
def test_a_crippled_twin_does_not_solve_cartpole(tmp_path):
    train(seed=11, episodes=1000, learning_rate=1e-12, logdir=str(tmp_path / "run"))
    assert solved(tmp_path / "run") == (False, False)
    assert len(read_episodes(tmp_path / "run")["episode"]) == 1024  # 32 updates of 32 games
