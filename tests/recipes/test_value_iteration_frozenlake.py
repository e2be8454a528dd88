"""Value and policy iteration: Bellman's equation by hand, the lake's known values, and the mistakes that miss them."""

import json

import gymnasium as gym
import numpy as np
import pytest

from common.cli import UsageError
from common.files import read_episodes
from common.lazy import keras
from envs.checked import make
from envs.tabular import transition_arrays
from recipes import value_iteration_frozenlake
from recipes.value_iteration_frozenlake import action_values, plot_kept_sweeps, policy_values, state_values, train

# State 0: action 0 pays 2 and ends with probability 1/4, and stays otherwise; action 1 leads to state 1 for -1.
REWARD = np.array([[0.5, -1.0], [3.0, 0.0]])
PROBABILITY = np.array([[[0.75, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.5, 0.5]]])


def test_action_values_by_hand():
    # 0.5 + 0.9 * 0.75 * 10; -1 + 0.9 * 20; 3, for it ends; 0.9 * (0.5 * 10 + 0.5 * 20)
    q = action_values(REWARD, PROBABILITY, np.array([10.0, 20.0]), 0.9)
    np.testing.assert_allclose(q, [[7.25, 17], [3, 13.5]])


def test_state_values_by_hand():
    q = np.array([[1.0, 0.0], [5.0, 2.0]])
    assert state_values(q, REWARD, PROBABILITY, 0.9, "value").tolist() == [1, 5]
    # Always action 0: v0 = 0.5 + 0.9 * 0.75 v0 = 0.5 / 0.325, v1 = 3
    np.testing.assert_allclose(state_values(q, REWARD, PROBABILITY, 0.9, "policy"), [0.5 / 0.325, 3])


def test_policy_values_by_hand():
    # Action 1 in state 0, action 0 in state 1: v1 = 3, v0 = -1 + 0.9 * 3
    np.testing.assert_allclose(policy_values(REWARD, PROBABILITY, np.array([1, 0]), 0.9), [1.7, 3])


def evaluated(folder):
    return json.loads((folder / "evaluation.json").read_text())


KNOWN = [({"gamma": 1.0}, 14 / 17), ({"gamma": 0.99}, 0.542026), ({"gamma": 0.99, "method": "policy"}, 0.542026)]


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "known"), KNOWN, ids=str)
def test_the_value_of_the_start_is_the_known_one(flags, known, tmp_path):
    folder = train(eval_episodes=0, logdir=str(tmp_path / "run"), **flags)
    assert evaluated(folder)["start_value"] == pytest.approx(known, abs=1e-6)
    assert evaluated(folder)["success_probability"] == pytest.approx(0.740165, abs=1e-6)
    games = np.genfromtxt(folder / "episodes.csv", delimiter=",", names=True)
    assert games["change"][-1] <= 1e-9 < games["change"][-2]
    assert games["start_value"][-1] == pytest.approx(known, abs=1e-6)
    assert len(games) < (12 if "method" in flags else 800)
    names = {path.name for path in folder.glob("*.png")}
    assert names == {"sweeps.png", "action_values.png", "policy.png", "learning_curve.png"}


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4"])
def test_both_methods_agree(env_id):
    reward_and_probability = transition_arrays(make(env_id, "numbers"))[::-1]
    found = []
    for method, sweeps in (("value", 1500), ("policy", 20)):
        v = np.zeros(len(reward_and_probability[0]))
        for _ in range(sweeps):
            q = action_values(*reward_and_probability, v, 0.95)
            v = state_values(q, *reward_and_probability, 0.95, method)
        found.append(v)
    np.testing.assert_allclose(*found, atol=1e-9)
    np.testing.assert_allclose(found[0], action_values(*reward_and_probability, found[0], 0.95).max(1), atol=1e-9)


def start_value(folder):
    return np.genfromtxt(folder / "episodes.csv", delimiter=",", names=True)["start_value"][-1]


def test_the_cliff_is_thirteen_steps_wide_and_a_twin_that_looks_beyond_the_end_says_otherwise(tmp_path, monkeypatch):
    flags = {"env_id": "CliffWalking-v1", "gamma": 1.0, "episodes": 60, "eval_episodes": 0, "max_steps": 20}
    assert start_value(train(logdir=str(tmp_path / "run"), **flags)) == -13

    def beyond_the_end(env):
        probability, reward = transition_arrays(env)
        probability[35, 2, 47] = 1  # down from above the goal, as if the game went on there
        return probability, reward

    monkeypatch.setattr(value_iteration_frozenlake, "transition_arrays", beyond_the_end)
    assert start_value(train(logdir=str(tmp_path / "twin"), **flags)) < -13


def test_the_twin_that_averages_the_actions_misses_the_lake(tmp_path, monkeypatch):
    monkeypatch.setattr(value_iteration_frozenlake, "state_values", lambda q, *_: q.mean(axis=1))
    folder = train(gamma=1.0, eval_episodes=0, logdir=str(tmp_path / "run"))
    assert start_value(folder) == pytest.approx(
        0.01394, abs=1e-4
    )  # random moves, of the limit of 100 steps hardly hurt


def test_policy_iteration_needs_a_discount(tmp_path):
    with pytest.raises(UsageError, match="--method=policy needs --gamma below 1"):
        train(method="policy", gamma=1.0, logdir=str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


class NoModel(gym.Env):
    """Numbered states; P is given."""

    observation_space = action_space = gym.spaces.Discrete(2)

    def __init__(self, P=None):
        self.P = P

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 0.0, True, False, {}


BROKEN = {
    "None": (None, "no table of its transitions"),
    "Number": (3, "cannot be read"),
    "Missing": ({0: {0: []}}, "cannot be read"),
    "Half": ({s: {a: [(0.5, 0, 0, True)] for a in range(2)} for s in range(2)}, "is no model"),
    "Beyond": ({s: {a: [(1.0, 2, 0, False)] for a in range(2)} for s in range(2)}, "cannot be read"),
    "Words": ({s: {a: [(1.0, 0, "x", False)] for a in range(2)} for s in range(2)}, "cannot be read"),
    "NaN": ({s: {a: [(1.0, 0, np.nan, True)] for a in range(2)} for s in range(2)}, "is no model"),
    "Negative": (
        {s: {a: [(-1.0, 0, 0, False), (2.0, 1, 0, False)] for a in range(2)} for s in range(2)},
        "cannot be read",
    ),
    "Before": ({s: {a: [(1.0, -1, 0, False)] for a in range(2)} for s in range(2)}, "cannot be read"),
}
for _name, (_table, _) in BROKEN.items():
    gym.register(f"model/{_name}-v0", entry_point=NoModel, kwargs={"P": _table})


@pytest.mark.parametrize("name", BROKEN)
def test_a_world_without_a_model_is_refused_in_one_line(name, tmp_path):
    with pytest.raises(gym.error.Error, match=BROKEN[name][1]) as refusal:
        train(f"model/{name}-v0", logdir=str(tmp_path / "run"))
    assert "\n" not in str(refusal.value) and list(tmp_path.iterdir()) == []


def test_no_more_sweeps_than_asked_for_and_a_picture_of_each_power_of_two(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(value_iteration_frozenlake, "plot_sweeps", lambda path, letters, values: drawn.append(values))
    folder = train(episodes=11, max_steps=5, eval_episodes=0, logdir=str(tmp_path / "run"))
    assert len(read_episodes(folder)["episode"]) == 11
    (values,) = drawn
    assert list(values) == [f"sweep {n}" for n in (1, 2, 4, 8, 11)]
    q = keras.models.load_model(folder / "model.keras").get_weights()[0]
    np.testing.assert_allclose(values["sweep 11"].ravel(), q.max(axis=1), rtol=1e-6)
    assert values["sweep 1"][3, 2] == pytest.approx(1 / 3) and values["sweep 1"].sum() == pytest.approx(1 / 3)


def test_the_sweeps_of_policies_are_drawn_too(tmp_path):
    env = make("FrozenLake-v1", "numbers")
    plot_kept_sweeps(
        tmp_path / "s.png", ["SFFF", "FHFH", "FFFH", "HFFG"], transition_arrays(env)[::-1], 0.9, "policy", 3
    )
    assert (tmp_path / "s.png").exists()
