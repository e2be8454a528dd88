"""REINFORCE: returns and losses by hand, the gradient of the book, a pole that learns to stand."""

import json

import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras, tf
from envs.checked import make_vec
from recipes.reinforce_cartpole import (
    build_policy,
    discounted_returns,
    make_act,
    make_update,
    play,
    policy_gradient_loss,
    standardize,
    train,
)


def test_returns_by_hand():
    # 2; -1 + 0.9 * 2 = 0.8; 0 + 0.9 * 0.8 = 0.72; 1 + 0.9 * 0.72 = 1.648
    np.testing.assert_allclose(discounted_returns(np.array([1.0, 0, -1, 2]), 0.9), [1.648, 0.72, 0.8, 2.0])
    two = discounted_returns(np.array([[1.0, 0], [0, 0], [-1, 0], [2, 1]]), 0.9)  # two games side by side
    np.testing.assert_allclose(two[:, 0], [1.648, 0.72, 0.8, 2.0])
    np.testing.assert_allclose(two[:, 1], [0.729, 0.81, 0.9, 1.0])


def test_the_texts_order_of_rewards_is_wrong():
    reward, wrong = [1.0, 0, -1, 2], [2.0]
    for i in range(3):
        wrong.append(reward[-i + 1] + 0.9 * wrong[i])
    assert not np.allclose(wrong[::-1], discounted_returns(np.array(reward), 0.9))
    ones = [1.0]
    for i in range(3):
        ones.append([1.0, 1, 1, 1][-i + 1] + 0.9 * ones[i])
    np.testing.assert_allclose(ones[::-1], discounted_returns(np.ones(4), 0.9))  # CartPole hides it


def test_standardised_by_hand():
    # mean 1.292, population deviation 0.547094
    wanted = [0.65071, -1.04552, -0.89930, 1.29411]
    np.testing.assert_allclose(standardize(np.array([1.648, 0.72, 0.8, 2.0])), wanted, atol=1e-5)


def test_a_good_and_a_bad_game_look_different_only_when_standardised_together():
    good, bad = discounted_returns(np.ones(50), 0.99), discounted_returns(np.ones(10), 0.99)
    together = standardize(np.concatenate([good, bad]))
    assert together[:50].mean() > 0.2 and together[50:].mean() < -1
    assert abs(standardize(good).mean()) < 1e-9 and abs(standardize(bad).mean()) < 1e-9  # the text's way


def test_the_loss_and_its_gradient_by_hand():
    logits = tf.Variable(np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = policy_gradient_loss(logits, tf.constant([0, 2]), tf.constant([2.0, -1.0]))
    # -(2 ln 0.7 - 1 ln 0.5) / 2 = -(-0.713350 + 0.693147) / 2
    assert float(loss) == pytest.approx(0.0101013, abs=1e-6)
    # A (pi - onehot) / 2: 2 [-0.3, 0.2, 0.1] / 2 and -1 [0.25, 0.25, -0.5] / 2
    wanted = [[-0.3, 0.2, 0.1], [-0.125, -0.125, 0.25]]
    np.testing.assert_allclose(tape.gradient(loss, logits), wanted, atol=1e-6)


def test_the_gradient_is_the_weighted_mean_of_the_single_steps():
    """What the book does step by step: gradients of every step alone, times its advantage, averaged."""
    keras.utils.set_random_seed(0)
    model, rng = build_policy(4, 2, 16), np.random.default_rng(0)
    obs, action = rng.normal(size=(6, 4)).astype(np.float32), rng.integers(2, size=6)
    advantage = rng.normal(size=6).astype(np.float32)
    single = []
    for o, a, weight in zip(obs, action, advantage, strict=True):
        with tf.GradientTape() as tape:
            loss = -tf.math.log(tf.nn.softmax(model(o[None]))[0, a])
        single.append([weight * g.numpy() for g in tape.gradient(loss, model.trainable_variables)])
    with tf.GradientTape() as tape:
        loss = policy_gradient_loss(model(obs), action, advantage)
    for together, *steps in zip(tape.gradient(loss, model.trainable_variables), *single, strict=True):
        np.testing.assert_allclose(together, np.mean(steps, axis=0), atol=1e-6)


def test_updates_make_a_rewarded_action_likelier_with_one_trace():
    keras.utils.set_random_seed(0)
    model = build_policy(4, 2, 16)
    act, update = make_act(model), make_update(model, keras.optimizers.Adam(0.01))
    for length in (8, 5, 13):  # games differ in length
        obs, playing = np.ones((length, 4, 4), np.float32), np.ones((length, 4), bool)
        playing[-1, 0] = False
        before = float(tf.nn.softmax(act(obs[0]))[0, 1])
        update(obs, np.ones((length, 4), np.int64), np.ones(playing.sum(), np.float32), playing)
        assert float(tf.nn.softmax(act(obs[0]))[0, 1]) > before


def test_what_follows_the_end_of_a_game_changes_nothing():
    def weights_after_an_update(beyond):
        keras.utils.set_random_seed(0)
        model = build_policy(4, 2, 16)
        obs, playing = np.ones((3, 2, 4), np.float32), np.array([[True, True], [True, False], [True, False]])
        obs[~playing] = beyond
        action = np.where(playing, 1, int(beyond) % 2)
        update = make_update(model, keras.optimizers.SGD(0.1))
        update(obs, action, np.arange(1.0, 5.0, dtype=np.float32), playing)
        return model.get_weights()

    for one, other in zip(weights_after_an_update(0.0), weights_after_an_update(9.0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_acting_and_learning_are_traced_once():
    model = build_policy(4, 2, 16)
    act, update = make_act(model), make_update(model, keras.optimizers.Adam(0.01))
    for length in (8, 5, 13):
        obs, playing = np.ones((length, 4, 4), np.float32), np.ones((length, 4), bool)
        act(obs[0])
        update(obs, np.ones((length, 4), np.int64), np.ones(playing.sum(), np.float32), playing)
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1


class Scripted:
    """Three games that last 2, 4 and 3 steps, the second truncated by the time limit; each step pays its number."""

    num_envs, lengths = 3, np.array([2, 4, 3])

    def reset(self, seed):
        self.t = 0
        return np.zeros((3, 4), np.float32), {}

    def step(self, action):
        self.t += 1
        ended = self.t == self.lengths
        limit = np.array([False, True, False])
        return np.full((3, 4), self.t, np.float32), np.full(3, float(self.t)), ended & ~limit, ended & limit, {}


def test_play_stops_each_game_at_its_end():
    obs, action, reward, playing = play(Scripted(), lambda obs: tf.zeros((3, 2)), np.random.default_rng(0))
    assert playing.sum(0).tolist() == [2, 4, 3]
    assert reward.T.tolist() == [[1, 2, 0, 0], [1, 2, 3, 4], [1, 2, 3, 0]]
    assert obs[:, 0, 0].tolist() == [0, 1, 2, 3] and action.shape == (4, 3)


def test_actions_are_drawn_with_their_probability():
    envs = make_vec("CartPole-v1", 64, "vectors")
    logits = tf.constant(np.log([[0.8, 0.2]] * 64), tf.float32)
    draws = np.concatenate([play(envs, lambda obs: logits, np.random.default_rng(s))[1].ravel() for s in range(10)])
    assert abs(draws.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / draws.size)  # five standard errors


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "episodes"), [(0.01, 1600), (1e-30, 320)])
def test_it_solves_cartpole_and_its_twin_without_learning_does_not(tmp_path, learning_rate, episodes):
    train(seed=11, logdir=str(tmp_path / "run"), learning_rate=learning_rate, episodes=episodes)
    solved = read_episodes(tmp_path / "run")["episode_return"][-100:].mean() >= 475
    greedy = np.mean(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"]) >= 475
    assert (solved, greedy) == ((True, True) if learning_rate > 1e-9 else (False, False))
