"""One comparison, and what it reaches."""

import json

import numpy as np
import pytest

from common.cli import UsageError
from common.files import read_episodes
from recipes.hardcoded_cartpole import build_policy, choose, train


def test_it_follows_the_pole():
    assert choose(np.array([9, 9, 0.01, -9])) == 1
    assert choose(np.array([-9, -9, -0.01, 9])) == 0
    assert choose(np.zeros(4)) == 0


def test_the_network_chooses_alike():
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    obs[0] = 0  # a tie
    assert build_policy()(obs).numpy().argmax(-1).tolist() == [choose(o) for o in obs]


def test_its_statistics_are_those_of_the_books_policy(tmp_path):
    """Public figures of this policy are near 42 ± 9 with 24 to 68 over 500 games (Géron 2019, chapter 18)."""
    train(episodes=200, seed=11, logdir=str(tmp_path / "run"))
    scores = np.array(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"])
    np.testing.assert_array_equal(scores, read_episodes(tmp_path / "run")["episode_return"])
    assert abs(scores.mean() - 42) < 5 * 9 / np.sqrt(200) and 7 < scores.std() < 11  # five standard errors
    assert scores.min() >= 20 and scores.max() < 100


def test_its_opposite_falls_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.hardcoded_cartpole.choose", lambda obs: 1 - choose(obs))
    train(episodes=50, seed=11, logdir=str(tmp_path / "run"))
    assert read_episodes(tmp_path / "run")["episode_return"].max() < 20


def test_another_world_is_refused(tmp_path):
    with pytest.raises(UsageError, match="CartPole only"):
        train(env_id="Acrobot-v1", logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
