"""REINFORCE with dropout: the gradient is of the sub-networks that played.

`tests/test_project.py` holds everything else to be the sibling's, line by line.
"""

import json

import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras
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


def test_the_network_that_learns_is_the_network_that_played():
    """The loss of an update, masks drawn again, is the loss of the very logits that the game was played with."""
    keras.utils.set_random_seed(0)
    policy = build_policy(4, 2, 16, dropout=0.6)
    act, seen = make_act(policy), []

    def recording(obs):
        seen.append(act(obs))
        return seen[-1]

    mask_seed = np.array([5, 7])
    seed_masks(policy, mask_seed)
    envs = make_vec("CartPole-v1", 3, "vectors")
    obs, action, reward, playing = play(envs, recording, np.random.default_rng(0))
    advantage = standardize(discounted_returns(reward, 0.99)[playing])
    played = np.stack(seen)[playing]
    assert not np.allclose(played, policy(obs[playing]))  # dropout was on
    wanted = float(policy_gradient_loss(played, action[playing], advantage))

    update = make_update(policy, keras.optimizers.SGD(0.0))
    seed_masks(policy, mask_seed)
    assert float(update(obs, action, advantage, playing)) == pytest.approx(wanted, rel=1e-5)
    seed_masks(policy, mask_seed + 1)
    assert float(update(obs, action, advantage, playing)) != pytest.approx(wanted, rel=1e-3)


def test_without_dropout_it_is_the_sibling():
    """One update of each from the same weights on the same games."""
    from recipes import reinforce_cartpole as sibling

    rng, weights = np.random.default_rng(0), []
    obs = rng.normal(size=(6, 2, 4)).astype(np.float32)
    action, playing = rng.integers(2, size=(6, 2)), np.ones((6, 2), bool)
    playing[4:, 0] = False
    advantage = rng.normal(size=playing.sum()).astype(np.float32)
    for model, make in (
        (sibling.build_policy(4, 2, 16), sibling.make_update),
        (build_policy(4, 2, 16, 0.0), make_update),
    ):
        start = np.random.default_rng(1)
        model.set_weights([start.normal(size=w.shape) for w in model.get_weights()])
        make(model, keras.optimizers.SGD(0.1))(obs, action, advantage, playing)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_one_trace_for_games_of_all_lengths():
    policy = build_policy(4, 2, 16, dropout=0.6)
    update = make_update(policy, keras.optimizers.Adam(0.01))
    for length in (3, 7, 5):
        obs, playing = np.zeros((length, 2, 4), np.float32), np.ones((length, 2), bool)
        update(obs, np.ones((length, 2), np.int64), np.ones(2 * length, np.float32), playing)
    assert update.experimental_get_tracing_count() == 1


def test_every_unit_silent_is_refused(tmp_path, run_recipe, no_tensorflow):
    done = run_recipe("reinforce_dropout_cartpole", "--dropout=1", PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stderr.endswith("--dropout=1: it must be 0.0 to below 1.0\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("learning_rate", "episodes"), [(0.01, 1600), (1e-30, 320)])
def test_it_solves_cartpole_and_its_twin_without_learning_does_not(tmp_path, learning_rate, episodes):
    train(seed=11, logdir=str(tmp_path / "run"), learning_rate=learning_rate, episodes=episodes)
    solved = read_episodes(tmp_path / "run")["episode_return"][-100:].mean() >= 475
    greedy = np.mean(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"]) >= 475
    assert (solved, greedy) == ((True, True) if learning_rate > 1e-9 else (False, False))
