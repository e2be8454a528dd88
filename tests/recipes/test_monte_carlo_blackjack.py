"""Monte Carlo control: its arithmetic by hand, a world whose values are known, and the policy of the book's figure."""

import json

import numpy as np
import pytest

from common.lazy import keras
from envs.checked import make_vec
from recipes import monte_carlo_blackjack
from recipes.monte_carlo_blackjack import average, discounted_returns, first_visits, play, train


def test_returns_by_hand():
    # 2; -1 + 0.9 * 2 = 0.8; 0 + 0.9 * 0.8 = 0.72; 1 + 0.9 * 0.72 = 1.648. The other game ended after two steps.
    reward = np.array([[1, 0], [0, 5], [-1, 0], [2, 0]])
    returns = discounted_returns(reward, 0.9)
    np.testing.assert_allclose(returns[:, 0], [1.648, 0.72, 0.8, 2])
    np.testing.assert_allclose(returns[:, 1], [4.5, 5, 0, 0])
    assert reward.dtype == int and returns.dtype == float


def test_first_visits_by_hand():
    pair = np.array([[3, 3], [3, 4], [5, 3], [3, 5]])  # each column is a game
    playing = np.array([[1, 1], [1, 1], [1, 1], [1, 0]], bool)
    assert first_visits(pair, playing).astype(int).tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]


def test_what_follows_the_end_of_a_game_is_no_visit():
    pair, playing = np.array([[1], [2]]), np.array([[True], [False]])
    assert first_visits(pair, playing).tolist() == [[True], [False]]


def test_means_by_hand_whatever_the_rounds():
    Q, visits = np.zeros((2, 2)), np.zeros((2, 2), int)
    average(Q, visits, np.array([0, 3, 3]), np.array([1.0, 2.0, 4.0]))
    assert Q.tolist() == [[1, 0], [0, 3]] and visits.tolist() == [[1, 0], [0, 2]]
    average(Q, visits, np.array([3, 1]), np.array([-3.0, 7.0]))
    assert Q.tolist() == [[1, 7], [0, 1]] and visits.tolist() == [[1, 1], [0, 3]]  # (2 + 4 - 3) / 3


def test_the_first_action_explores_and_the_others_are_greedy():
    envs = make_vec("numpy/Blackjack-v1", 2000, "numbers")
    Q = np.tile([0.0, 1.0], (704, 1))  # always hit
    state, action, reward, playing = play(envs, Q, np.random.default_rng(0))
    assert abs(action[0].mean() - 0.5) < 0.06 and action[1:].all()
    assert state.shape == action.shape == reward.shape == playing.shape
    assert playing[0].all() and not reward[~playing].any()
    lost = reward.sum(axis=0)[action[0] == 1]
    assert (lost == -1).all()  # who never sticks goes bust


def share(folder):
    return json.loads((folder / "evaluation.json").read_text())["same_as_published"]


@pytest.mark.slow
def test_it_finds_the_policy_of_the_figure(tmp_path):
    train(episodes=400_000, seed=11, eval_episodes=0, logdir=str(tmp_path / "run"))
    assert share(tmp_path / "run") >= 0.95
    names = {path.name for path in (tmp_path / "run").glob("*.png")}
    assert names == {"value_surfaces.png", "policy.png", "learning_curve.png"}


def test_its_twin_without_exploring_starts_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(monte_carlo_blackjack, "play", lambda envs, Q, rng: play(envs, Q, Greedy(rng)))
    train(episodes=200_000, seed=11, eval_episodes=0, logdir=str(tmp_path / "run"))
    assert share(tmp_path / "run") < 0.9


class Greedy:
    """A generator whose first actions are all 0, to stick."""

    def __init__(self, rng):
        self.rng = rng

    def integers(self, high, size=None):
        return self.rng.integers(high) if size is None else np.zeros(size, int)


def test_values_of_a_lake_known_by_hand(tmp_path):
    """S G in a row, without slipping: right is worth 1; left stays, and is worth 0.9 as soon as right is the best."""
    flags = {"env_kwargs": {"desc": ["SG"], "is_slippery": False}, "max_steps": 6, "gamma": 0.9, "eval_episodes": 0}
    train("FrozenLake-v1", 2000, num_envs=20, logdir=str(tmp_path / "run"), **flags)
    q = keras.models.load_model(tmp_path / "run" / "model.keras").get_weights()[0]
    assert q[0, 2] == 1 and 0.87 < q[0, 0] < 0.9  # of 100 rounds the first is played with a table of zeros
    assert not (tmp_path / "run" / "policy.png").exists()


def test_the_rules_of_the_user_are_those_of_both_worlds(tmp_path):
    run = train(episodes=4000, num_envs=500, env_kwargs={"sab": False, "natural": True}, eval_episodes=5,
                logdir=str(tmp_path / "run"))  # fmt: skip
    returns = np.genfromtxt(run / "episodes.csv", delimiter=",", names=True)["episode_return"]
    assert set(returns) == {-1, 0, 1, 1.5}


def test_one_game_is_enough_for_a_table_of_all_states(tmp_path, capsys):
    train(episodes=1, num_envs=1, eval_episodes=2, logdir=str(tmp_path / "run"))
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert model.get_weights()[0].shape == (32 * 11 * 2, 2)
    assert "of 200 cells" in capsys.readouterr().out
