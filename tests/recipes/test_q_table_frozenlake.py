"""The Q-table recipe: its arithmetic by hand, what ends a bootstrap, its learning, and the text's mistakes."""

import json

import gymnasium as gym
import numpy as np
import pytest

from common.lazy import keras
from recipes import q_table_frozenlake
from recipes.q_table_frozenlake import build_table_model, noise_at, noisy_best, step_size, td_target, train


def test_target_by_hand():
    row = np.array([5.0, 3.0])
    assert td_target(1.0, False, row, 0.99) == pytest.approx(5.95)  # 1 + 0.99 * 5
    assert td_target(1.0, True, row, 0.99) == 1.0


def test_noise_by_hand():
    assert [noise_at(step, 0.5, 300) for step in (0, 300, 600, 2700)] == [0.5, 0.25, 0.5 / 3, 0.05]


def test_step_size_by_hand():
    # 11/11, 11/12, 11/20, 11/110
    assert [step_size(visits, 10) for visits in (1, 2, 10, 100)] == pytest.approx([1, 11 / 12, 0.55, 0.1])


def test_noise_decides_between_near_values_and_not_between_far_ones():
    rng = np.random.default_rng(0)
    near = [noisy_best(np.array([0.5, 0.45]), 0.1, rng) for _ in range(1000)]
    far = [noisy_best(np.array([0.5, -0.5]), 0.1, rng) for _ in range(1000)]
    # The difference of two draws has deviation 0.1414: P(second wins) = Phi(-0.05 / 0.1414) = 0.362, error 0.015.
    assert abs(np.mean(near) - 0.362) < 0.06 and not any(far)
    assert noisy_best(np.array([0.0, 2.0, 1.0]), 0.0, rng) == 1


def test_the_texts_noise_is_whole_numbers_and_never_shrinks():
    draws = np.random.default_rng(0).standard_normal(1000)
    late = draws // 100  # the last step of a game
    assert set(late) == {-1.0, 0.0}  # q lies between 0 and 1: a draw of -1 rules an action out, at any time
    assert abs((late == -1).mean() - 0.5) < 0.08
    assert np.abs(draws / 100).max() < 0.04  # what was meant


def test_the_model_is_the_table():
    table = np.arange(12.0).reshape(4, 3)
    model = build_table_model(4, 3)
    model.set_weights([table])
    np.testing.assert_array_equal(model(np.array([2, 0])), [[6, 7, 8], [0, 1, 2]])


def lake(rows, max_steps):
    """The id of a lake without slipping."""
    name = f"tests/Lake{''.join(rows)}-v0"
    gym.register(
        name,
        "gymnasium.envs.toy_text.frozen_lake:FrozenLakeEnv",
        kwargs={"desc": list(rows), "is_slippery": False},
        max_episode_steps=max_steps,
    )
    return name


def learnt(folder):
    """Action values of the saved model."""
    model = keras.models.load_model(folder / "model.keras")
    return model(np.arange(model.get_weights()[0].shape[0])).numpy()


def test_values_of_a_lake_known_by_hand(tmp_path):
    # S F G in a row: from F one step right pays 1, from S it takes one more; left and the walls lose a step.
    train(lake(["SFG"], 20), episodes=200, gamma=0.9, logdir=str(tmp_path / "run"))
    q = learnt(tmp_path / "run")
    assert q[1, 2] == 1.0  # right, to the goal
    assert q[0, 2] == pytest.approx(0.9, abs=0.01)  # right, then right
    assert q[0].argmax() == q[1].argmax() == 2
    np.testing.assert_array_equal(q[2], 0)  # nothing was ever tried in the goal


def test_only_termination_stops_the_bootstrap(tmp_path):
    # Two free cells, no goal, games of one step: each is truncated. A value of 1 is what the table believes of the next
    # state, so the first target is 0.99 * 1; if the time limit counted as an end, it would be 0.
    train(lake(["SF"], 1), episodes=4, logdir=str(tmp_path / "run"), step_size_decay_visits=1)
    q = learnt(tmp_path / "run")
    assert q[0].max() > 0.9
    # A hole does end it: the same step into one is worth 0 at once.
    train(lake(["SH"], 1), episodes=40, logdir=str(tmp_path / "hole"))
    assert learnt(tmp_path / "hole")[0, 2] == 0.0


def success(folder):
    return json.loads((folder / "evaluation.json").read_text())["success_probability"]


@pytest.mark.slow
def test_it_learns_the_best_policy(tmp_path):
    train(seed=11, logdir=str(tmp_path / "run"))
    assert success(tmp_path / "run") == pytest.approx(0.740165, abs=1e-6)
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {
        "action_values.png", "policy.png", "learning_curve.png",
    }  # fmt: skip


def test_its_twin_that_does_not_learn_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(q_table_frozenlake, "step_size", lambda visits, decay_visits: 0.0)
    train(seed=11, logdir=str(tmp_path / "run"))
    assert success(tmp_path / "run") < 0.1


@pytest.mark.slow
def test_with_the_texts_discount_it_learns_what_is_best_there(tmp_path):
    train(seed=11, gamma=0.95, logdir=str(tmp_path / "run"))
    assert success(tmp_path / "run") == pytest.approx(0.729766, abs=1e-6)
