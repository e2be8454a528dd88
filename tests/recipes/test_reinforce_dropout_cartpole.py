"""REINFORCE with dropout: the gradient is of the thinned networks that played."""

import json

import numpy as np
import pytest

from common.cli import UsageError
from common.lazy import keras, tf
from common.runlog import read_episodes
from envs.checked import make_vec
from recipes.reinforce_dropout_cartpole import (
    build_policy,
    discounted_returns,
    make_act,
    make_update,
    play,
    policy_gradient_loss,
    seed_masks,
    standardize,
    train,
)


def test_returns_and_advantages_by_hand():
    # Five rewards of 1 at 0.99: 1; 1.99; 1 + 0.99 * 1.99 = 2.9701; 3.940399; 4.90099501
    returns = discounted_returns(np.ones(5), 0.99)
    np.testing.assert_allclose(returns, [4.90099501, 3.940399, 2.9701, 1.99, 1.0])
    np.testing.assert_allclose(standardize(np.array([1.0, 3.0])), [-1, 1], atol=1e-6)


def test_the_loss_by_hand():
    logits = tf.constant(np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]).astype(np.float32))
    loss = policy_gradient_loss(logits, tf.constant([0, 2]), tf.constant([2.0, -1.0]))
    assert float(loss) == pytest.approx(0.0101013, abs=1e-6)  # -(2 ln 0.7 - 1 ln 0.5) / 2


def test_the_network_that_learns_is_the_network_that_played():
    """The loss of an update, masks drawn again, is the loss of the very logits that the game was played with."""
    keras.utils.set_random_seed(0)
    policy = build_policy(4, 2)
    act, seen = make_act(policy, training=True), []

    def recording(obs):
        seen.append(act(obs))
        return seen[-1]

    mask_seed = np.array([5, 7])
    seed_masks(policy, mask_seed)
    worlds = make_vec("CartPole-v1", 3, "vectors")
    obs, action, reward, playing = play(worlds, recording, np.random.default_rng(0))
    advantage = standardize(discounted_returns(reward, 0.99)[playing])
    played = np.stack(seen)[playing]
    assert not np.allclose(played, policy(obs[playing]))  # dropout was on
    wanted = float(policy_gradient_loss(played, action[playing], advantage))

    update = make_update(policy, keras.optimizers.SGD(0.0))
    assert float(update(obs, action, advantage, playing, mask_seed)) == pytest.approx(wanted, rel=1e-5)
    assert float(update(obs, action, advantage, playing, mask_seed + 1)) != pytest.approx(wanted, rel=1e-3)


def test_numbers_of_the_gradient_are_clipped_one_by_one():
    policy = build_policy(4, 2, dropout=0.0)
    before = policy.get_weights()
    update = make_update(policy, keras.optimizers.SGD(1.0, clipvalue=0.001))
    obs = np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32)
    playing = np.ones((6, 2), bool)
    update(obs, np.ones((6, 2), np.int64), np.full(12, 9.0, np.float32), playing, np.array([0, 0]))
    change = np.concatenate([(a - b).ravel() for a, b in zip(policy.get_weights(), before, strict=True)])
    assert abs(change).max() == pytest.approx(0.001, rel=1e-3)


def test_one_trace_for_games_of_all_lengths():
    policy = build_policy(4, 2)
    update = make_update(policy, keras.optimizers.Adam(0.01))
    for length in (3, 7, 5):
        obs, playing = np.zeros((length, 2, 4), np.float32), np.ones((length, 2), bool)
        update(obs, np.ones((length, 2), np.int64), np.ones(2 * length, np.float32), playing, np.array([0, 0]))
    assert update.experimental_get_tracing_count() == 1


def test_every_unit_silent_is_refused(tmp_path):
    with pytest.raises(UsageError, match="silence every unit"):
        train(dropout=1.0, logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("learning_rate", "episodes"), [(0.01, 1600), (0.0, 320)])
def test_it_solves_cartpole_and_its_twin_without_learning_does_not(tmp_path, learning_rate, episodes):
    train(seed=11, logdir=str(tmp_path / "run"), learning_rate=learning_rate, episodes=episodes)
    solved = read_episodes(tmp_path / "run")["episode_return"][-100:].mean() >= 475
    greedy = np.mean(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"]) >= 475
    assert (solved, greedy) == ((True, True) if learning_rate else (False, False))
