"""The grid with forbidden actions: moves and masks by hand, and the fewest steps counted in another way."""

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers
from envs.checked import make_vec
from envs.masked import FREE, MOVES, MaskedGridworld, fewest_steps
from envs.repeatable import Repeatable

UP, RIGHT, DOWN, LEFT = 0, 4, 8, 12  # plus 0 to 3: one to four cells
CELLS = [(row, column) for row in range(8) for column in range(8) if FREE[row, column]]


def world(cell, goal=(7, 7)):
    """A game in which the player stands on a cell; the goal is elsewhere."""
    env = MaskedGridworld()
    env.reset(seed=0)
    env.cell, env.goal = cell, goal if goal != cell else (0, 0)
    return env


def test_the_free_cells_are_those_of_the_plan():
    assert FREE.shape == (8, 8) and len(CELLS) == len(MOVES) == 48 and set(CELLS) == set(MOVES)
    assert FREE[0].all() and not FREE[1, 1] and not FREE[7, 1] and FREE[7, 7]


@pytest.mark.parametrize(
    ("cell", "action", "to"),
    [
        ((0, 0), RIGHT + 0, (0, 1)),
        ((0, 0), RIGHT + 3, (0, 4)),
        ((0, 0), DOWN + 3, (4, 0)),
        ((0, 7), LEFT + 2, (0, 4)),
        ((7, 0), UP + 1, (5, 0)),
        ((0, 0), UP + 0, None),  # out of the grid
        ((0, 5), RIGHT + 2, None),
        ((3, 2), RIGHT + 0, None),  # (3, 3) is a wall
        ((3, 2), RIGHT + 1, None),  # and (3, 4) is behind it
        ((1, 0), RIGHT + 2, None),  # behind two walls
    ],
)
def test_moves_by_hand(cell, action, to):
    env = world(cell)
    obs, reward, terminated, truncated, _ = env.step(action)
    assert env.cell == (to or cell)  # whoever tries what is forbidden stays
    assert (reward, terminated, truncated) == (-1.0, False, False)
    assert env.observation_space.contains(obs)


def test_a_game_ends_on_the_goal_and_the_last_step_costs_1_as_every_other():
    env = world((0, 0), goal=(0, 3))
    assert env.step(RIGHT + 3)[1:4] == (-1.0, False, False)  # past the goal
    assert env.step(LEFT + 0)[1:4] == (-1.0, True, False)


def test_an_observation_by_hand():
    obs = world((3, 4), goal=(7, 0))._look()
    assert obs.shape == (48,) and obs.dtype == np.float32
    # The row and the column of the player in numbers 0 to 15, those of the goal in 16 to 31.
    assert np.flatnonzero(obs[:32]).tolist() == [3, 8 + 4, 16 + 7, 24 + 0] and set(obs.tolist()) == {0, 1}
    # Three free cells above and three to the right, then the edge; walls below and to the left.
    assert obs[32:].reshape(4, 4).tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("cell", CELLS, ids="{}".format)
def test_the_mask_says_what_each_move_does(cell):
    """Each of all 48 * 16 moves is tried; one of several cells is allowed if these are allowed one after the other."""
    mask = world(cell)._look()[32:]
    for action in range(16):
        env = world(cell)
        env.step(action)
        assert (env.cell != cell) == mask[action], action
        walker, steps = world(cell), 0
        for _ in range(action % 4 + 1):
            before = walker.cell
            walker.step(action - action % 4)
            steps += walker.cell != before
        assert mask[action] == (steps == action % 4 + 1), action
        if mask[action]:
            assert env.cell == walker.cell


def distances():
    """Fewest moves between any two cells, [48, 48], by Floyd and Warshall's algorithm on the world's own steps."""
    far = np.full((48, 48), np.inf)
    for i, cell in enumerate(CELLS):
        far[i, i] = 0
        for action in range(16):
            env = world(cell)
            env.step(action)
            far[i, CELLS.index(env.cell)] = min(1, far[i, CELLS.index(env.cell)])
    for k in range(48):
        far = np.minimum(far, far[:, k : k + 1] + far[k])
    return far


def test_the_fewest_steps_to_each_goal():
    far = distances()
    found = np.array([[fewest_steps(goal)[cell] for goal in CELLS] for cell in CELLS])
    np.testing.assert_array_equal(found, far)
    between = far[~np.eye(48, dtype=bool)]  # a game never begins on its goal
    assert between.mean() == pytest.approx(3.029, abs=5e-4) and between.max() < 50
    # (0, 0) → (0, 4) → (0, 7) → (4, 7) → (7, 7): a line from wall to wall is at most 4 long.
    assert fewest_steps((7, 7))[0, 0] == 4


def test_starts_and_goals_are_drawn_anew_and_differ():
    env = gym.make("MaskedGridworld-v0")
    drawn = [env.reset(seed=7)[0]] + [env.reset()[0] for _ in range(1000)]
    starts, goals = ({tuple(np.flatnonzero(obs[part])) for obs in drawn} for part in (slice(0, 16), slice(16, 32)))
    assert starts == goals == {(row, 8 + column) for row, column in CELLS}
    assert not any((obs[:16] == obs[16:32]).all() for obs in drawn)
    np.testing.assert_array_equal(env.reset(seed=7)[0], drawn[0])


def test_a_game_is_truncated_after_50_steps():
    env = gym.make("MaskedGridworld-v0")
    env.reset(seed=0)
    env.unwrapped.cell, env.unwrapped.goal = (0, 0), (7, 7)
    ends = [env.step(UP)[2:4] for _ in range(50)]
    assert ends == [(False, False)] * 49 + [(False, True)]


def test_it_repeats_itself():
    games, rng = Repeatable(make_vec("MaskedGridworld-v0", 4, "vectors")), np.random.default_rng(0)
    games.reset(seed=1)
    for _ in range(60):
        games.step(rng.integers(16, size=4))
    again = Repeatable(make_vec("MaskedGridworld-v0", 4, "vectors"))
    again.load(games.state())
    action = rng.integers(16, size=4)
    np.testing.assert_array_equal(games.step(action)[0], again.step(action)[0])


def test_it_can_be_seen():
    env = gym.make("MaskedGridworld-v0", render_mode="rgb_array")
    env.reset(seed=0)
    env.unwrapped.cell, env.unwrapped.goal = (0, 2), (7, 0)
    picture = env.render()
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    colour = {cell: tuple(picture[32 * cell[0] + 16, 32 * cell[1] + 16].tolist()) for cell in [*CELLS, (1, 1)]}
    red, green, blue = colour[0, 2]
    assert red > max(green, blue)
    red, green, blue = colour[7, 0]
    assert green > max(red, blue)
    assert min(colour[0, 0]) > 200 and max(colour[1, 1]) < 100  # a free cell, a wall
    assert len(set(colour.values())) == 4
