"""SARSA on the cliff: its targets and traces by hand, the way round that it learns, and a twin that walks the edge."""

import numpy as np
import pytest
from test_q_learning_cliffwalking import Corridor, online_and_path

from common.lazy import keras
from recipes import sarsa_cliffwalking
from recipes.sarsa_cliffwalking import expected_target, learn_game, td_target, train

PLAIN = {"expected": False, "trace_decay": 0.0}


def test_targets_by_hand():
    row = np.array([5.0, 3.0])
    assert td_target(1.0, False, row, 1, 0.99) == pytest.approx(3.97)  # 1 + 0.99 * 3
    assert td_target(1.0, True, row, 1, 0.99) == 1.0
    # epsilon 0.2: the best with 0.9, the other with 0.1: 1 + 0.99 * (0.9 * 5 + 0.1 * 3)
    assert expected_target(1.0, False, row, 0.2, 0.99) == pytest.approx(1 + 0.99 * 4.8)
    assert expected_target(1.0, True, row, 0.2, 0.99) == 1.0
    assert expected_target(1.0, False, row, 0.0, 0.99) == pytest.approx(5.95)  # Q-learning


def game(Q, trace_decay, expected=False):
    return learn_game(Corridor(), Q, 0.1, expected, 0.5, trace_decay, 0.9, np.random.default_rng(0))


def test_one_game_without_traces_by_hand():
    Q = np.zeros((3, 1))
    assert game(Q, 0.0) == (-2.0, 2)
    np.testing.assert_allclose(Q.ravel(), [-0.5, -0.5, 0])
    game(Q, 0.0)
    np.testing.assert_allclose(Q.ravel(), [-0.975, -0.75, 0])  # as in Q-learning: there is one action


def test_one_game_with_traces_by_hand():
    # Step 1: Q[0] = 0.5 * -1. Step 2, error -1: Q[1] = 0.5 * -1, and Q[0] moves along with the trace 0.9 * 0.8.
    Q = np.zeros((3, 1))
    game(Q, 0.8)
    np.testing.assert_allclose(Q.ravel(), [-0.5 - 0.5 * 0.72, -0.5, 0])


def test_with_lambda_1_and_one_visit_each_it_is_monte_carlo():
    # Returns of the game: -1 - 0.9 = -1.9 from state 0, -1 from state 1. The table moves half way.
    Q = np.zeros((3, 1))
    game(Q, 1.0)
    np.testing.assert_allclose(Q.ravel(), [-0.95, -0.5, 0])


def test_traces_end_with_the_game():
    Q = np.zeros((3, 1))
    game(Q, 1.0)
    before = Q.copy()
    game(Q, 1.0)  # again from the start: -0.95 + 0.5 * (-1.9 + 0.95), by the same arithmetic
    np.testing.assert_allclose(Q.ravel(), [before[0, 0] + 0.5 * (-1.9 - before[0, 0]), -0.75, 0])


@pytest.mark.slow
@pytest.mark.parametrize("flags", [{}, {"expected": True}, {"trace_decay": 0.5}], ids=str)
def test_it_walks_round_and_earns_more_while_it_explores(flags):
    online, steps = online_and_path(sarsa_cliffwalking, **{**PLAIN, **flags})
    assert -35 < online < -19  # the book's figure shows about -25
    ways = steps[~np.isnan(steps)]
    assert len(ways) >= 6 and np.median(ways) >= 15


@pytest.mark.slow
def test_its_twin_that_takes_the_best_next_action_fails(monkeypatch):
    best = lambda reward, end, row, next_a, gamma: reward if end else reward + gamma * max(row)  # noqa: E731
    monkeypatch.setattr(sarsa_cliffwalking, "td_target", best)
    online, steps = online_and_path(sarsa_cliffwalking, **PLAIN)
    assert not -35 < online < -19 and np.median(steps) == 13


def test_a_run_with_both_flags_writes_a_table(tmp_path):
    folder = train(
        episodes=8, expected=True, trace_decay=0.9, max_steps=50, eval_episodes=1, logdir=str(tmp_path / "run")
    )
    assert keras.models.load_model(folder / "model.keras").get_weights()[0].shape == (48, 4)
    assert (folder / "policy.png").exists()
