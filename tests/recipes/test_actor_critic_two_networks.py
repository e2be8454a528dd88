"""Actor-critic with two networks: the losses by hand, which of them trains what, what it learns."""

import json
import math

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras, tf
from common.runlog import read_episodes
from envs.checked import make_vec
from recipes import actor_critic_two_networks as recipe
from recipes.actor_critic_two_networks import (
    build_network,
    compute_loss,
    evaluate,
    get_expected_return,
    make_train_step,
    run_episodes,
    train,
)

NUMBER = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)


def test_returns_by_hand():
    # First game: 2; -1 + 0.9 * 2 = 0.8; 0 + 0.9 * 0.8 = 0.72; 1 + 0.9 * 0.72 = 1.648.
    # Second game: two steps, cut off where the critic says 10: 1 + 0.9 * 10 = 10; 2 + 0.9 * 10 = 11.
    reward = tf.constant([[1.0, 2.0], [0.0, 1.0], [-1.0, 77.0], [2.0, 99.0]])
    playing = tf.constant([[True, True], [True, True], [True, False], [True, False]])
    returns = get_expected_return(reward, playing, tf.constant([0.0, 10.0]), 0.9).numpy()
    np.testing.assert_allclose(returns[:, 0], [1.648, 0.72, 0.8, 2.0], rtol=1e-6)
    np.testing.assert_allclose(returns[:2, 1], [11.0, 10.0], rtol=1e-6)


def test_losses_and_their_gradients_by_hand():
    # Two rows: pi = (0.7, 0.2, 0.1) and (0.5, 0.3, 0.2), actions 0 and 2, advantages 3 - 1 = 2 and 1.5 - 2 = -0.5.
    # actor: -(2 * ln 0.7 - 0.5 * ln 0.2) / 2 = -(-0.713350 + 0.804719) / 2 = -0.045685; critic: (4 + 0.25) / 2 / 2
    logits = tf.Variable(np.log([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), dtype=tf.float32)
    values, actions, returns = tf.Variable([1.0, 2.0]), tf.constant([0, 2], tf.int64), tf.constant([3.0, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        actor_loss, critic_loss = compute_loss(logits, values, actions, returns, entropy_weight=0.0)
    np.testing.assert_allclose([actor_loss, critic_loss], [-0.045685, 1.0625], rtol=1e-4)
    # A * (pi - onehot) / 2 rows: 2 * (-0.3, 0.2, 0.1) / 2 and -0.5 * (0.5, 0.3, -0.8) / 2
    expected = [[-0.3, 0.2, 0.1], [-0.125, -0.075, 0.2]]
    np.testing.assert_allclose(tape.gradient(actor_loss, logits), expected, atol=1e-6)
    assert tape.gradient(actor_loss, values) is None
    np.testing.assert_allclose(tape.gradient(critic_loss, values), [-1.0, 0.25])  # -A / 2: the text's critic gets none


def test_the_entropy_is_of_each_step_and_pulls_towards_chance():
    # Without advantages only the entropy is left: 0.7 * 0.356675 + 0.2 * 1.609438 + 0.1 * 2.302585 = 0.801819.
    # The text's mean(pi) * log(pi) would be (0.356675 + 1.609438 + 2.302585) / 3 = 1.422899, and without a gradient.
    logits, ones = tf.Variable(np.log([[0.7, 0.2, 0.1]]), dtype=tf.float32), tf.ones(1)
    with tf.GradientTape() as tape:
        loss, _ = compute_loss(logits, ones, tf.constant([0], tf.int64), ones, entropy_weight=1.0)
    np.testing.assert_allclose(loss, -0.8018186, rtol=1e-5)
    # dH/dlogits = -pi * (ln pi + H); descending on -H lowers the likeliest and lifts the others
    gradient = [p * (math.log(p) + 0.8018186) for p in (0.7, 0.2, 0.1)]
    np.testing.assert_allclose(tape.gradient(loss, logits), [gradient], atol=1e-6)
    assert gradient[0] > 0 > gradient[1]


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    with pytest.raises(AssertionError):
        compute_loss(tf.ones((3, 2)), tf.ones((3, 1)), tf.zeros(3, tf.int64), tf.ones(3), 0.0)
    with pytest.raises(AssertionError):
        get_expected_return(tf.ones((4, 2)), tf.ones((4, 1), tf.bool), tf.zeros(2), 0.9)


def linear(name, weights):
    """Weights on positive numbers: obs [B, 1] → obs times weights, [B, len(weights)]."""
    network = build_network(NUMBER, len(weights), 1, name)
    network.set_weights([np.ones((1, 1)), np.zeros(1), np.array([weights]), np.zeros(len(weights))])
    return network


class Script:
    """Two games of one number, played from a list: what is observed, paid and ended after each step."""

    num_envs, single_observation_space = 2, NUMBER

    def __init__(self, obs, reward, terminated, truncated):
        self.lines = list(zip(obs, reward, terminated, truncated, strict=True))

    def step(self, action):
        obs, reward, terminated, truncated = self.lines.pop(0)
        return np.array(obs, np.float32)[:, None], np.array(reward), np.array(terminated), np.array(truncated), {}


@pytest.mark.parametrize(("terminated", "returns"), [(True, 0.5), (False, 5.9)])
def test_only_a_terminated_game_is_worth_nothing_beyond(terminated, returns):
    # One step each from obs 1, of which the critic says 2, to obs 3, of which it says 6; reward 1, scaled 0.5.
    # Terminated: 0.5 and nothing beyond; the text goes on from the fallen pole. Cut off: 0.5 + 0.9 * 6 = 5.9.
    # Both actions have probability 1/2: the loss is A * ln 2 + A² / 2.
    actor, critic = linear("actor", [0.0, 0.0]), linear("critic", [2.0])
    worlds = Script([[3, 3]], [[1, 1]], [[terminated] * 2], [[not terminated] * 2])
    train_step = make_train_step(actor, critic, keras.optimizers.SGD(0.0), worlds, 0.5, 0.9, 0.0)
    score, length, loss, _ = train_step(tf.ones((2, 1)), tf.constant(0))
    advantage = returns - 2
    np.testing.assert_allclose(loss, advantage * math.log(2) + advantage**2 / 2, rtol=1e-5)
    assert score.numpy().tolist() == length.numpy().tolist() == [1, 1]


def test_what_follows_the_end_of_a_game_changes_nothing():
    def weights_after_an_update(obs, reward, ended):
        worlds = Script([[2, 2], [1, 3], [1, obs], [3, obs]], [[1, 1], [1, 2], [1, reward], [0, reward]],
                        [[False, False], [False, True], [False, ended], [False, not ended]],
                        [[False, False], [False, False], [False, False], [True, True]])  # fmt: skip
        actor, critic = linear("actor", [0.1, -0.1]), linear("critic", [2.0])
        train_step = make_train_step(actor, critic, keras.optimizers.SGD(0.1), worlds, 1.0, 0.9, 0.01)
        score, length, *_ = train_step(tf.ones((2, 1)), tf.constant(0))
        assert score.numpy().tolist() == [3, 3] and length.numpy().tolist() == [4, 2]
        return actor.get_weights() + critic.get_weights()

    one, other = weights_after_an_update(0, 0.0, False), weights_after_an_update(-9, 1000.0, True)
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


def test_an_update_lowers_the_loss():
    actor, critic, optimizer = linear("actor", [0.1, -0.1]), linear("critic", [2.0]), keras.optimizers.SGD(0.001)
    losses = []
    for _ in range(2):
        worlds = Script([[2, 2], [1, 3]], [[1, 1], [1, 2]], [[False, True], [True, True]], [[False, False]] * 2)
        train_step = make_train_step(actor, critic, optimizer, worlds, 1.0, 0.9, 0.01)
        losses.append(float(train_step(tf.ones((2, 1)), tf.constant(0))[2]))
    assert losses[1] < losses[0]


def learn(env_id, updates, reward_scale, learning_rate=0.01, num_envs=16, gamma=0.9):
    """Actor and critic after so many updates, what the critic explained in the last one, and the compiled function."""
    worlds, rng = make_vec(env_id, num_envs, "vectors"), np.random.default_rng(11)
    keras.utils.set_random_seed(11)
    space = worlds.single_observation_space
    actor, critic = build_network(space, 2, 32, "actor"), build_network(space, 1, 32, "critic")
    optimizer = keras.optimizers.Adam(learning_rate)
    train_step = make_train_step(actor, critic, optimizer, worlds, reward_scale, gamma, 0.001)
    for _ in range(updates):
        obs, _ = worlds.reset(seed=int(rng.integers(2**31)))
        *_, explained = train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
    return actor, critic, float(explained), train_step


def without_a_gradient(*args):
    """The critic's loss as the text has it."""
    actor_loss, critic_loss = compute_loss(*args)
    return actor_loss, tf.stop_gradient(critic_loss) + 0.0 * critic_loss


def test_the_critic_learns_and_the_texts_does_not(monkeypatch):
    """One step, the reward is what is seen, -1 or 1."""
    _, critic, explained, _ = learn("probes/SeenReward-v0", updates=200, reward_scale=1.0)
    np.testing.assert_allclose(critic(np.array([[-1.0], [1.0]], np.float32))[:, 0], [-1, 1], atol=0.05)
    assert explained > 0.99
    monkeypatch.setattr(recipe, "compute_loss", without_a_gradient)
    _, critic, explained, _ = learn("probes/SeenReward-v0", updates=200, reward_scale=1.0)
    assert explained < 0.99


def test_a_cut_off_game_is_worth_its_going_on():
    """Reward 0.1 for ever is worth 0.1 / (1 - 0.9) = 1, though every game is cut off after 10 steps."""
    _, critic, _, train_step = learn("probes/Endless-v0", updates=200, reward_scale=0.1)
    assert critic(np.zeros((1, 1), np.float32)).numpy().item() == pytest.approx(1.0, abs=0.03)
    assert train_step.experimental_get_tracing_count() == 1


def test_the_action_that_pays_is_learnt():
    seen = np.array([[0.0], [1.0]], np.float32)
    actor, *_ = learn("probes/ChosenReward-v0", updates=200, reward_scale=1.0)
    assert tf.nn.softmax(actor(seen)).numpy().diagonal().min() > 0.9
    actor, *_ = learn("probes/ChosenReward-v0", updates=200, reward_scale=1.0, learning_rate=0.0)
    assert tf.nn.softmax(actor(seen)).numpy().diagonal().min() < 0.9


def test_a_network_that_broke_still_plays_to_the_end():
    worlds = make_vec("CartPole-v1", 3, "vectors")
    actor = build_network(worlds.single_observation_space, 2, 4, "actor")
    actor.set_weights([np.full_like(w, np.nan) for w in actor.get_weights()])
    critic = build_network(worlds.single_observation_space, 1, 4, "critic")
    obs, _ = worlds.reset(seed=0)
    train_step = make_train_step(actor, critic, keras.optimizers.Adam(), worlds, 0.01, 0.99, 0.001)
    assert np.isnan(train_step(obs, tf.constant(0))[2])  # which `train` answers with one line


def test_cartpole_is_solved_and_both_networks_are_saved(tmp_path):
    train(seed=11, logdir=str(tmp_path / "run"))
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    episodes = read_episodes(tmp_path / "run")
    assert len(evaluation["scores"]) == 100 and np.mean(evaluation["scores"]) >= 475
    assert evaluation["solved_episode"] == len(episodes["episode"]) < 3000
    assert episodes["episode_return"][-100:].mean() >= 475
    assert episodes["episode_length"].max() == 500  # the text's games end at 300
    actor = keras.models.load_model(tmp_path / "run" / "model.keras")
    critic = keras.models.load_model(tmp_path / "run" / "critic.keras")
    assert evaluate(actor, "CartPole-v1", 100, seed=11 + 2**29).tolist() == evaluation["scores"]
    upright, falling = critic(np.array([[0, 0, 0, 0], [0, 0, 0.2, 2]], np.float32)).numpy()[:, 0]
    assert upright > falling + 0.1


def test_a_crippled_twin_does_not_solve_cartpole(tmp_path):
    train(seed=11, episodes=1000, learning_rate=0.0, logdir=str(tmp_path / "run"))
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["solved_episode"] is None and np.mean(evaluation["scores"]) < 475
    assert len(read_episodes(tmp_path / "run")["episode"]) == 1024  # 32 updates of 32 games


def test_the_graph_plays_as_a_hand_would():
    """A twin of the environments, stepped outside the graph with the same actions."""
    worlds, twins = make_vec("CartPole-v1", 6, "vectors"), make_vec("CartPole-v1", 6, "vectors")
    keras.utils.set_random_seed(0)
    actor = build_network(worlds.single_observation_space, 2, 16, "actor")
    obs, _ = worlds.reset(seed=5)
    env_step = recipe.make_env_step(worlds)
    games = tf.function(lambda obs, seed: run_episodes(actor, env_step, obs, seed))(tf.constant(obs), tf.constant(7))
    obs, _ = twins.reset(seed=5)
    playing = np.ones(6, bool)
    for t, action in enumerate(games.action.numpy()):
        np.testing.assert_array_equal(games.obs[t], obs)
        np.testing.assert_array_equal(games.playing[t], playing)
        obs, reward, terminated, truncated, _ = twins.step(action)
        np.testing.assert_array_equal(games.reward[t], reward)
        playing &= ~(terminated | truncated)
    assert not playing.any()
