"""The grid worlds: moves and rewards by hand, one environment against many, observations, pictures, bad layouts."""

import json

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers
from envs.grids import BOMBS, OBSERVATIONS, Grid, GridEnv

NOOP, DOWN, UP, LEFT, RIGHT = range(5)
UP4, RIGHT4, DOWN4, LEFT4 = range(4)
IDS = ["Gridworld-v0", "grids/Simple-v0", "grids/Obstacle-v0", "grids/RandomGoal-v0"]


def walk(env, actions, **reset):
    """Rewards, last observation and how it ended."""
    obs, _ = env.reset(seed=0, **reset)
    rewards, terminated, truncated = [], False, False
    for action in actions:
        assert not (terminated or truncated)
        obs, reward, terminated, truncated, _ = env.step(action)
        rewards.append(reward)
    return rewards, obs, terminated, truncated


def test_the_books_map():
    obs, _ = gym.make("Gridworld-v0").reset(seed=0)
    inside = [
        [2, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 0, 1, 0, 0],
        [0, 1, 4, 1, 0, 0],
        [0, 3, 0, 0, 0, 0],
        [0] * 6,
    ]
    np.testing.assert_array_equal(obs[1:-1, 1:-1], inside)
    assert obs.shape == (8, 8) and (obs[0] == 1).all() and (obs[:, 0] == 1).all() and (obs[-1] == 1).all()


def test_the_shortest_way_in_the_books_world_is_nine_steps():
    # Down four, past the bomb along the last row, up twice into the goal.
    way = [DOWN] * 5 + [RIGHT] * 2 + [UP] * 2
    rewards, obs, terminated, truncated = walk(gym.make("Gridworld-v0"), way)
    assert rewards == [0] * 8 + [1] and terminated and not truncated
    assert obs[4, 3] == 2 and (obs != 4).all()  # the agent is seen where it ended, on the goal


def test_walls_and_bombs_in_the_books_world():
    env = gym.make("Gridworld-v0")
    rewards, obs, *_ = walk(env, [NOOP, UP, LEFT, DOWN])
    assert rewards == [0, pytest.approx(-0.1), pytest.approx(-0.1), 0] and obs[2, 1] == 2
    rewards, obs, terminated, _ = walk(env, [DOWN] * 4 + [RIGHT])
    assert rewards == [0] * 4 + [-1] and terminated and obs[5, 2] == 2


def test_the_texts_world():
    rewards, obs, terminated, _ = walk(gym.make("grids/Simple-v0"), [UP4, UP4, DOWN4] + [DOWN4] * 5)
    assert rewards == [0, -5, 0, 0, 0, 0, 0, 10] and terminated
    assert obs == 7 * 10 + 2  # where it ended, not the start
    over = [DOWN4] * 3 + [RIGHT4] * 5 + [UP4] * 3 + [RIGHT4]
    rewards, *_, terminated, truncated = walk(gym.make("grids/Obstacle-v0"), over)
    assert rewards == [0] * 11 + [10] and terminated and not truncated


def test_a_chosen_goal():
    env = gym.make("grids/RandomGoal-v0", observation="agent_goal_pos")
    obs, _ = env.reset(seed=0, options={"goal": (7, 8)})
    np.testing.assert_array_equal(obs, [2, 2, 7, 8])
    seen = {tuple(env.reset()[0][2:]) for _ in range(600)}
    assert len(seen) == 7 * 8 - 6 - 1 and (2, 2) not in seen  # every free cell but the start


@pytest.mark.parametrize(("env_id", "limit"), list(zip(IDS, [100, 200, 200, 200], strict=True)))
def test_limits_truncate(env_id, limit):
    env = gym.make(env_id)
    stay = NOOP if env_id == "Gridworld-v0" else UP4
    *_, terminated, truncated = walk(
        env, [stay] * limit, **({} if "Random" not in env_id else {"options": {"goal": (7, 8)}})
    )
    assert truncated and not terminated


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_many_environments_step_as_one_does(env_id, observation):
    """The vector environment against single ones that are reset by hand, transition by transition."""
    n, settings = 5, {"observation": observation, "max_steps": 17}
    if "Random" in env_id:
        settings["goal"] = (7, 8)  # the two draw goals from generators of their own
    many = gym.make_vec(env_id, num_envs=n, **settings)
    singles = [gym.make(env_id, **settings) for _ in range(n)]
    assert type(many).__name__ == "GridVectorEnv"
    obs, _ = many.reset(seed=0)
    np.testing.assert_array_equal(obs, [env.reset(seed=0)[0] for env in singles])
    rng, ended = np.random.default_rng(0), np.zeros(n, bool)
    for _ in range(300):
        actions = rng.integers(many.single_action_space.n, size=n)
        expected = [
            (*env.reset()[:1], 0.0, False, False) if over else env.step(int(a))[:4]
            for env, a, over in zip(singles, actions, ended, strict=True)
        ]
        for got, want in zip(many.step(actions)[:4], zip(*expected, strict=True), strict=True):
            np.testing.assert_array_equal(got, np.array(want))
        ended = np.array([e[2] or e[3] for e in expected])


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_observations_are_copies_of_the_right_kind(observation):
    env = gym.make("grids/Simple-v0", observation=observation)
    first, _ = env.reset(seed=0)
    kept = np.array(first)
    env.step(DOWN4)
    np.testing.assert_array_equal(first, kept)
    assert env.observation_space.contains(first)


def test_observations_by_hand():
    def first(observation):
        return gym.make("grids/Simple-v0", observation=observation).reset(seed=0)[0]

    assert first("state_index") == 22
    np.testing.assert_array_equal(first("agent_goal_pos"), [2, 2, 7, 2])
    assert first("agent_onehot")[2, 2] == 1 and first("agent_onehot").sum() == 1
    grid = first("grid")
    assert grid[2, 2, 1] == grid[7, 2, 2] == grid[2, 4, 0] == 1
    assert grid.sum(axis=(0, 1)).tolist() == [34 + 6, 1, 1]  # the border has 34 cells, the block 6


def test_seeds_reach_the_goals():
    def goals(seed):
        many = gym.make_vec("grids/RandomGoal-v0", num_envs=8, observation="agent_goal_pos")
        return many.reset(seed=seed)[0][:, 2:]

    np.testing.assert_array_equal(goals(1), goals(1))
    assert (goals(1) != goals(2)).any()


def test_pictures():
    env = gym.make("Gridworld-v0", render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "\n".join(BOMBS.layout) + "\n"
    env = gym.make("Gridworld-v0", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (256, 256, 3) and env.render().dtype == np.uint8
    assert (env.render()[40, 40] == (50, 90, 200)).all()  # the agent
    many = gym.make_vec("Gridworld-v0", num_envs=2, render_mode="rgb_array")
    many.reset(seed=0)
    np.testing.assert_array_equal(many.render()[1], env.render())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "maze"}, "unknown task"),
        ({"task": "simple", "observation": "smell"}, "unknown observation"),
        ({"task": "simple", "layout": ["####", "#.G#", "####"]}, r"one start \(A\); it has 0"),
        ({"task": "simple", "layout": ["####", "#A.#", "####"]}, r"one goal \(G\); it has 0"),
        ({"task": "simple", "layout": ["####", "#AG.", "####"]}, "not closed"),
        ({"task": "simple", "layout": ["####", "#AG#", "###"]}, "differ in length"),
        ({"task": "simple", "layout": ["####", "#AX#", "####"]}, "unknown letters"),
        ({"task": "simple", "goal": (2, 4)}, "goal .* is in a wall"),
        ({"task": "simple", "start": (0, 0)}, "start .* is in a wall"),
        ({"task": "simple", "goal": (20, 4)}, "outside"),
    ],
)
def test_impossible_worlds_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Grid(**changes)


def test_actions_out_of_range_are_refused():
    env = GridEnv("simple")
    env.reset(seed=0)
    for action in (-1, 4):
        with pytest.raises(ValueError, match="out of range"):
            env.step(action)


def test_shortest_ways_by_hand():
    simple, obstacle = Grid("simple"), Grid("obstacle")
    assert simple.shortest_ways()[simple.goal] == 5  # straight down from (2, 2) to (7, 2)
    # Around the blocks at columns 4 and 5: up to the free row 1, right to column 5, down, right, ... to (2, 8).
    assert obstacle.shortest_ways()[obstacle.goal] == 8
    assert (simple.shortest_ways()[simple.walls] == 90).all()  # no way leads there: as many as there are cells
    assert simple.shortest_ways()[~simple.walls].max() == 11  # the corner (7, 8): 5 down, 6 right
    bombs = Grid("bombs")
    assert bombs.shortest_ways()[bombs.goal] == 9  # around the bomb at (5, 2), not over it


def test_one_walk_to_every_goal():
    grid = Grid("random_goal", observation="agent_goal_pos", max_steps=7)
    walks = grid.walk_to_every_goal(lambda obs: np.full(len(obs), RIGHT4))
    assert len(walks.goals) == 49 and walks.goals.tolist() == grid.goals.tolist()
    # One step right is (2, 3). Beyond it stands the block: 1 free step, then 6 bumps of -5 within 7 steps.
    found = dict(zip(walks.goals.tolist(), zip(*walks[1:], strict=True), strict=True))
    assert found[2 * 10 + 3] == (10, 1, True, 1)
    assert found[5 * 10 + 5] == (-30, 7, False, 6)
    assert walks.reached.sum() == 1 and str(walks).startswith(
        "1 of 49 goals reached, 1 by a shortest way; mean return "
    )


def test_a_world_with_one_goal_is_walked_once():
    walks = Grid("simple").walk_to_every_goal(lambda obs: np.full(len(obs), DOWN4))
    assert str(walks) == "1 of 1 goals reached, 1 by a shortest way; mean return 10.00 in 5.00 steps"


def test_games_in_progress_go_on_from_their_state():
    """Two worlds that play on alike: one all along, one from what JSON kept of it."""
    first, second = (
        gym.make_vec("grids/RandomGoal-v0", 5, observation="agent_goal_pos", max_steps=9) for _ in range(2)
    )
    rng = np.random.default_rng(0)
    first.reset(seed=3)
    for _ in range(20):
        obs, *_ = first.step(rng.integers(4, size=5))
    kept = json.loads(json.dumps(first.state()))
    second.reset(seed=99)
    np.testing.assert_array_equal(second.load(kept), obs)
    for _ in range(60):
        actions = rng.integers(4, size=5)
        for x, y in zip(first.step(actions), second.step(actions), strict=True):
            np.testing.assert_array_equal(x, y)
