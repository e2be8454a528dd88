"""Actor-critic with a shared network: returns and losses by hand, the environment in the graph, what it learns."""

import json
import math

import gymnasium as gym
import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras, tf
from envs.checked import make_vec
from recipes import actor_critic_cartpole as recipe
from recipes.actor_critic_cartpole import (
    build_actor_critic,
    compute_loss,
    explained_variance,
    get_expected_return,
    make_env_step,
    make_train_step,
    run_episodes,
    standardize,
    train,
)

NUMBER = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)


class Script:
    """Two games of one number, played from a list: what is observed, paid and ended after each step."""

    num_envs, single_observation_space = 2, NUMBER

    def __init__(self, obs, reward, terminated, truncated):
        self.lines = list(zip(obs, reward, terminated, truncated, strict=True))

    def step(self, action):
        obs, reward, terminated, truncated = self.lines.pop(0)
        return np.array(obs, np.float32)[:, None], np.array(reward), np.array(terminated), np.array(truncated), {}


def tiny():
    """logits (0, 0) and value 2 * obs for positive numbers."""
    model = build_actor_critic(NUMBER, 2, 1)
    weights = {"hidden": [[[1.0]], [0.0]], "logits": [[[0.0, 0.0]], [0.0, 0.0]], "value": [[[2.0]], [0.0]]}
    for name, arrays in weights.items():
        model.get_layer(name).set_weights([np.array(array) for array in arrays])
    return model


def test_returns_by_hand():
    # First game: 2; -1 + 0.9 * 2 = 0.8; 0 + 0.9 * 0.8 = 0.72; 1 + 0.9 * 0.72 = 1.648.
    # Second game: two steps, truncated where the critic says 10: 1 + 0.9 * 10 = 10; 2 + 0.9 * 10 = 11.
    reward = tf.constant([[1.0, 2.0], [0.0, 1.0], [-1.0, 77.0], [2.0, 99.0]])
    playing = tf.constant([[True, True], [True, True], [True, False], [True, False]])
    returns = get_expected_return(reward, playing, tf.constant([0.0, 10.0]), 0.9).numpy()
    np.testing.assert_allclose(returns[:, 0], [1.648, 0.72, 0.8, 2.0], rtol=1e-6)
    np.testing.assert_allclose(returns[:2, 1], [11.0, 10.0], rtol=1e-6)


def test_standardised_by_hand():
    # mean 1.292; deviations .356, -.572, -.492, .708; squares sum to 1.197232; deviation sqrt(1.197232 / 4) = 0.547091
    standardised = standardize(tf.constant([1.648, 0.72, 0.8, 2.0]))
    np.testing.assert_allclose(standardised, [0.65071, -1.04552, -0.89930, 1.29411], atol=1e-5)


def test_explained_variance_by_hand():
    returns = tf.constant([1.0, 3.0, 5.0])  # variance 8 / 3
    # A constant error leaves the variance explained; errors 0, 2, 0 have the variance 8 / 9: 1 - (8 / 9) / (8 / 3).
    for values, share in ((returns, 1), (returns + 7, 1), (tf.ones(3), 0), (tf.constant([1.0, 1.0, 5.0]), 2 / 3)):
        assert float(explained_variance(values, returns)) == pytest.approx(share, abs=1e-6)


def test_losses_and_their_gradients_by_hand():
    # Two rows, returns - values = (3, -0.5): mean 1.25, deviation 1.75, so the advantages are (1, -1).
    # actor: -(1 * ln 0.7 - 1 * ln 0.2) / 2 = -0.626381; critic: (2.5 + 0.125) / 2
    logits = tf.Variable(np.log([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]]), dtype=tf.float32)
    values, actions, returns = tf.Variable([1.0, 2.0]), tf.constant([0, 2], tf.int64), tf.constant([4.0, 1.5])
    with tf.GradientTape(persistent=True) as tape:
        actor_loss, critic_loss = compute_loss(logits, values, actions, returns)
    np.testing.assert_allclose([actor_loss, critic_loss], [(-math.log(0.7) + math.log(0.2)) / 2, 1.3125], rtol=1e-5)
    # A * (pi - onehot) / 2: 1 * (-0.3, 0.2, 0.1) / 2 and -1 * (0.5, 0.3, -0.8) / 2
    expected = [[-0.15, 0.1, 0.05], [-0.25, -0.15, 0.4]]
    np.testing.assert_allclose(tape.gradient(actor_loss, logits), expected, atol=1e-6)
    assert tape.gradient(actor_loss, values) is None  # the text's actor trains the critic
    np.testing.assert_allclose(tape.gradient(critic_loss, values), [-0.5, 0.25])  # the error, clipped, pulls upwards


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    with pytest.raises(AssertionError):
        compute_loss(tf.ones((3, 2)), tf.ones((3, 1)), tf.zeros(3, tf.int64), tf.ones(3))
    with pytest.raises(AssertionError):
        get_expected_return(tf.ones((4, 2)), tf.ones((4, 1), tf.bool), tf.zeros(2), 0.9)


def test_the_actors_loss_reaches_the_hidden_layer_but_not_the_critics_head():
    model = build_actor_critic(gym.spaces.Box(-1.0, 1.0, (4,), np.float32), 2, 8)
    with tf.GradientTape() as tape:
        logits, values = model(tf.random.stateless_normal((5, 4), (0, 1)))
        loss, _ = compute_loss(logits, values[:, 0], tf.constant([0, 1, 0, 1, 1], tf.int64), tf.range(5.0))
    heads = [model.get_layer(name).kernel for name in ("hidden", "logits", "value")]
    hidden, actor, critic = tape.gradient(loss, heads)
    assert np.abs(hidden).max() > 0 and np.abs(actor).max() > 0 and critic is None


@pytest.mark.parametrize(("terminated", "value"), [(True, 1.0), (False, 3.4)])
def test_only_a_terminated_game_is_worth_nothing_beyond(terminated, value):
    # One step each from obs 1, of which the critic says 2, to obs 3, of which it says 6; reward 1, scaled 0.5.
    # Terminated: the return is 0.5, the error -1.5, Huber 1. Truncated: 0.5 + 0.9 * 6 = 5.9, error 3.9, Huber 3.4.
    # Both games are alike, so the standardised advantages are 0, and so is the actor's loss.
    ended = [[terminated] * 2], [[not terminated] * 2]
    train_step = make_train_step(tiny(), keras.optimizers.SGD(0.0), Script([[3, 3]], [[1, 1]], *ended), 0.5, 0.9)
    score, length, loss, _ = train_step(tf.ones((2, 1)), tf.constant(0))
    np.testing.assert_allclose(loss, value, rtol=1e-6)
    assert score.numpy().tolist() == length.numpy().tolist() == [1, 1]


def test_what_follows_the_end_of_a_game_changes_nothing():
    def weights_after_an_update(obs, reward, ended):
        envs = Script([[2, 2], [1, 3], [1, obs], [3, obs]], [[1, 1], [1, 2], [1, reward], [0, reward]],
                        [[False, False], [False, True], [False, ended], [False, not ended]],
                        [[False, False], [False, False], [False, False], [True, True]])  # fmt: skip
        model = tiny()
        train_step = make_train_step(model, keras.optimizers.SGD(0.1), envs, 1.0, 0.9)
        score, length, *_ = train_step(tf.ones((2, 1)), tf.constant(0))
        assert score.numpy().tolist() == [3, 3] and length.numpy().tolist() == [4, 2]
        return model.get_weights()

    before = tiny().get_weights()
    one, other = weights_after_an_update(0, 0.0, False), weights_after_an_update(-9, 1000.0, True)
    assert any((x != y).any() for x, y in zip(one, before, strict=True))
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_graph_plays_as_a_hand_would():
    """A twin of the environments, stepped outside the graph with the same actions."""
    envs, twins = make_vec("CartPole-v1", 6, "vectors"), make_vec("CartPole-v1", 6, "vectors")
    keras.utils.set_random_seed(0)
    model = build_actor_critic(envs.single_observation_space, 2, 16)
    obs, _ = envs.reset(seed=5)
    env_step = make_env_step(envs)
    games = tf.function(lambda obs, seed: run_episodes(model, env_step, obs, seed))(tf.constant(obs), tf.constant(7))
    obs, _ = twins.reset(seed=5)
    playing = np.ones(6, bool)
    for t, action in enumerate(games.action.numpy()):
        np.testing.assert_array_equal(games.obs[t], obs)
        np.testing.assert_array_equal(games.playing[t], playing)
        obs, reward, terminated, truncated, _ = twins.step(action)
        np.testing.assert_array_equal(games.reward[t], reward)
        ends = playing & (terminated | truncated)
        np.testing.assert_array_equal(games.last_obs[ends], obs[ends])
        playing &= ~ends
    assert not playing.any() and games.terminated.numpy().all()
    length = games.playing.numpy().sum(0)
    assert length.max() == len(games.action) > length.min() > 5  # to the end of each, not one step as printed


def test_actions_follow_the_probabilities_and_the_seed():
    envs = make_vec("probes/Endless-v0", 100, "vectors")
    model = build_actor_critic(envs.single_observation_space, 2, 1)
    model.get_layer("logits").set_weights([np.zeros((1, 2)), np.log([0.2, 0.8])])
    play = tf.function(lambda obs, seed: run_episodes(model, make_env_step(envs), obs, seed))
    played = []
    for seed in (1, 1, 2):
        obs, _ = envs.reset(seed=0)
        played.append(play(tf.constant(obs), tf.constant(seed)).action.numpy())
    np.testing.assert_array_equal(played[0], played[1])
    assert played[0].shape == (10, 100) and (played[0] != played[2]).any() and (played[0][0] != played[0][1]).any()
    assert abs(played[0].mean() - 0.8) < 5 * math.sqrt(0.2 * 0.8 / 1000)  # five standard errors of 1,000 draws


def test_a_network_that_broke_still_plays_to_the_end():
    envs = make_vec("CartPole-v1", 3, "vectors")
    model = build_actor_critic(envs.single_observation_space, 2, 4)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    obs, _ = envs.reset(seed=0)
    _, _, loss, _ = make_train_step(model, keras.optimizers.Adam(), envs, 0.01, 0.99)(obs, tf.constant(0))
    assert np.isnan(loss)  # which `train` answers with one line


def test_an_update_lowers_the_loss():
    model, optimizer = tiny(), keras.optimizers.SGD(0.001)
    losses = []
    for _ in range(2):
        envs = Script([[2, 2], [1, 3]], [[1, 1], [1, 2]], [[False, True], [True, True]], [[False, False]] * 2)
        _, _, loss, _ = make_train_step(model, optimizer, envs, 1.0, 0.9)(tf.ones((2, 1)), tf.constant(0))
        losses.append(float(loss))
    assert losses[1] < losses[0]


def learn(env_id, updates, reward_scale, learning_rate=0.03, num_envs=16, gamma=0.9):
    """A network after so many updates, and the compiled function."""
    envs, rng = make_vec(env_id, num_envs, "vectors"), np.random.default_rng(11)
    keras.utils.set_random_seed(11)
    model = build_actor_critic(envs.single_observation_space, 2, 32)
    train_step = make_train_step(model, keras.optimizers.Adam(learning_rate), envs, reward_scale, gamma)
    for _ in range(updates):
        obs, _ = envs.reset(seed=int(rng.integers(2**31)))
        train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
    return model, train_step


def value_of_zero(model):
    """What the critic says of the observation 0."""
    return model(np.zeros((1, 1), np.float32))[1].numpy().item()


def test_a_truncated_game_is_worth_its_going_on(monkeypatch):
    """Reward 0.1 at every step is worth 0.1 / (1 - 0.9) = 1, though every game is truncated after 10 steps."""
    model, train_step = learn("probes/Endless-v0", updates=150, reward_scale=0.1)
    assert value_of_zero(model) == pytest.approx(1.0, abs=0.03)
    assert train_step.experimental_get_tracing_count() == 1

    # Taken for terminated: the mean of 1 - 0.9^k over k = 1 to 10, 1 - 0.09 * (1 - 0.9^10) / 0.1 = 0.4138.
    def as_terminated(*args):
        games = run_episodes(*args)
        return games._replace(terminated=tf.ones_like(games.terminated))

    monkeypatch.setattr(recipe, "run_episodes", as_terminated)
    model, _ = learn("probes/Endless-v0", updates=150, reward_scale=0.1)
    assert value_of_zero(model) == pytest.approx(0.4138, abs=0.03)


def test_the_action_that_pays_is_learnt():
    seen = np.array([[0.0], [1.0]], np.float32)
    model, _ = learn("probes/ChosenReward-v0", updates=100, reward_scale=1.0)
    assert tf.nn.softmax(model(seen)[0]).numpy().diagonal().min() > 0.9
    model, _ = learn("probes/ChosenReward-v0", updates=100, reward_scale=1.0, learning_rate=0.0)
    assert tf.nn.softmax(model(seen)[0]).numpy().diagonal().min() < 0.9


def is_solved(folder):
    """Whether the last 100 training games, and 100 greedy ones apart, average 475."""
    scores = json.loads((folder / "evaluation.json").read_text())["scores"]
    return read_episodes(folder)["episode_return"][-100:].mean() >= 475, np.mean(scores) >= 475


@pytest.mark.slow
def test_cartpole_is_solved_and_training_ends(tmp_path):
    train(seed=11, logdir=str(tmp_path / "run"))
    episodes = read_episodes(tmp_path / "run")
    count = len(episodes["episode"])
    assert is_solved(tmp_path / "run") == (True, True)
    assert count < 3000 and count % 32 == 0
    for end in range(100, count):  # not one update longer than needed
        assert end % 32 or episodes["episode_return"][end - 100 : end].mean() < 475
    np.testing.assert_array_equal(np.diff(episodes["step"]), episodes["episode_length"][1:])


def one_step_long(*args):
    """The text's `return` in the loop."""
    games = run_episodes(*args)
    first = [x[:1] for x in (games.obs, games.action, games.reward, games.playing)]
    return recipe.Games(*first, games.obs[1], tf.zeros_like(games.terminated))


@pytest.mark.slow
@pytest.mark.parametrize("cripple", ["learning rate 0", "return in the loop"])
def test_a_crippled_twin_does_not_solve_cartpole(tmp_path, monkeypatch, cripple):
    if cripple == "return in the loop":
        monkeypatch.setattr(recipe, "run_episodes", one_step_long)
    rate = 1e-30 if cripple == "learning rate 0" else 0.01
    train(seed=11, episodes=1000, learning_rate=rate, logdir=str(tmp_path / "run"))
    assert is_solved(tmp_path / "run") == (False, False)
    assert len(read_episodes(tmp_path / "run")["episode"]) == 1024  # 32 updates of 32 games
