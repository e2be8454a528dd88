"""Q-learning on the cliff: its arithmetic by hand, the edge that it learns, and what that costs while it explores."""

import gymnasium as gym
import numpy as np
import pytest

from common.files import read_episodes
from common.lazy import keras
from envs.checked import make
from envs.tabular import greedy_path
from recipes import q_learning_cliffwalking
from recipes.q_learning_cliffwalking import epsilon_greedy, learn_game, td_target, train


def test_target_by_hand():
    row = np.array([5.0, 3.0])
    assert td_target(1.0, False, row, 0.99) == pytest.approx(5.95)  # 1 + 0.99 * 5
    assert td_target(1.0, True, row, 0.99) == 1.0


def test_epsilon_is_the_share_of_random_actions():
    rng = np.random.default_rng(0)
    for epsilon in (0.0, 0.4, 1.0):
        actions = [epsilon_greedy(np.array([0.0, 0, 1, 0]), epsilon, rng) for _ in range(2000)]
        assert abs(np.mean(np.array(actions) == 2) - (1 - 0.75 * epsilon)) < 0.05


class Corridor(gym.Env):
    """States 0, 1, 2; any action leads one further with reward -1; 2 is the end."""

    def reset(self):
        self.s = 0
        return 0, {}

    def step(self, action):
        self.s += 1
        return self.s, -1.0, self.s == 2, False, {}


def test_one_game_by_hand():
    # One action, step size 0.5, gamma 0.9. Game 1: Q[0] = 0.5 * (-1 + 0.9 * 0), Q[1] = 0.5 * -1. Game 2:
    # Q[0] += 0.5 * (-1 + 0.9 * -0.5 + 0.5) = 0.5 * -0.95, Q[1] += 0.5 * (-1 + 0.5).
    Q, rng = np.zeros((3, 1)), np.random.default_rng(0)
    assert learn_game(Corridor(), Q, 0.1, 0.5, 0.9, rng) == (-2.0, 2)
    np.testing.assert_allclose(Q.ravel(), [-0.5, -0.5, 0])
    learn_game(Corridor(), Q, 0.1, 0.5, 0.9, rng)
    np.testing.assert_allclose(Q.ravel(), [-0.975, -0.75, 0])


def test_only_termination_stops_the_bootstrap(tmp_path):
    # -1 per step, gamma 0.5: from F right ends the game, -1; from S right and right, -1 + 0.5 * -1 = -1.5. The second
    # step is truncated: left from F is worth -1 + 0.5 * -1.5, and would be worth -1 if the time limit were an end.
    world = {"desc": ["SFG"], "is_slippery": False, "reward_schedule": [-1, -1, -1]}
    flags = {"env_kwargs": world, "gamma": 0.5, "epsilon": 1.0, "max_steps": 2, "eval_episodes": 0}
    folder = train("FrozenLake-v1", 2000, logdir=str(tmp_path / "run"), **flags)
    q = keras.models.load_model(folder / "model.keras").get_weights()[0]
    np.testing.assert_allclose([q[1, 2], q[0, 2], q[1, 0]], [-1, -1.5, -1.75], atol=0.01)


def online_and_path(recipe, runs=8, games=500, **changes):
    """Mean return of the last 200 games over runs, and the lengths of the greedy ways (nan for a circle)."""
    settings = {"epsilon": 0.1, "step_size": 0.5, "gamma": 1.0, **changes}
    env = make("CliffWalking-v1", "numbers", {"max_episode_steps": 1000})
    returns, steps = [], []
    for seed in range(runs):
        rng, Q = np.random.default_rng(seed), np.zeros((48, 4))
        env.unwrapped.np_random = rng
        returns.append([recipe.learn_game(env, Q, rng=rng, **settings)[0] for _ in range(games)][-200:])
        path = greedy_path(env.unwrapped.P, 36, Q)
        steps.append(len(path) - 1 if path[-1] == 47 else np.nan)
    return np.mean(returns), np.array(steps)


@pytest.mark.slow
def test_it_walks_the_edge_and_falls_while_it_explores():
    online, steps = online_and_path(q_learning_cliffwalking)
    assert (steps == 13).all()
    assert -62 < online < -42  # the book's figure shows about -50


def test_its_twin_that_does_not_learn_finds_no_way():
    _, steps = online_and_path(q_learning_cliffwalking, runs=1, games=2, step_size=0.0)
    assert np.isnan(steps).all()


@pytest.mark.slow
def test_a_run_ends_with_the_shortest_way_and_its_pictures(tmp_path):
    folder = train(seed=11, logdir=str(tmp_path / "run"))
    assert {path.name for path in folder.glob("*.png")} == {"action_values.png", "policy.png", "learning_curve.png"}
    assert read_episodes(folder)["episode_return"].max() == -13
    table = np.genfromtxt(folder / "evaluations.csv", delimiter=",", names=True)
    assert np.atleast_1d(table["mean"])[-1] == -13
