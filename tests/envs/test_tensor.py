"""The worlds in TensorFlow do what the originals do, step by step, and start again as they should."""

import gymnasium as gym
import numpy as np
import pytest
import tensorflow as tf

import envs  # noqa: F401  registers
from envs.grids import Grid
from envs.tensor import WORLDS, find
from envs.tensor.games import State

GAMES, STEPS = 250, 500  # 125,000 transitions
TOLERANCE = {"CartPole-v1": 1e-5, "Acrobot-v1": 2e-4, "MountainCar-v0": 1e-6, "Pendulum-v1": 1e-4}  # float32, float64


def random_action(env_id, seed):
    """Actions [GAMES] of the world, in TensorFlow."""
    space = gym.make(env_id).action_space
    if isinstance(space, gym.spaces.Box):
        return tf.random.stateless_uniform([GAMES, *space.shape], seed, -3.0, 3.0)  # some beyond the bounds
    return tf.random.stateless_uniform([GAMES], seed, 0, int(space.n), tf.int32)


@pytest.fixture(scope="module")
def played():
    """env_id → arrays [STEPS, GAMES, ...] of the states before, actions, and what followed; one XLA program each."""
    found = {}

    def play(env_id):
        if env_id in found:
            return found[env_id]
        world = find(env_id)

        @tf.function(jit_compile=True)
        def step(state, t):
            action = random_action(env_id, [t, 1])
            return action, *world.step(state, action, [t, 2])

        state, rows = world.reset([0, 0], GAMES), []
        for t in range(STEPS):
            action, following, *answer = step(state, tf.constant(t))
            rows.append([state.now, state.time, action, *answer, following.now, following.time])
            state = following
        names = ("now", "time", "action", "obs", "reward", "terminated", "truncated", "next_now", "next_time")
        found[env_id] = dict(zip(names, (np.stack(column) for column in zip(*rows, strict=True)), strict=True))
        return found[env_id]

    return play


def flat(play, name):
    return play[name].reshape(-1, *play[name].shape[2:])


@pytest.mark.parametrize("env_id", TOLERANCE)
def test_each_step_is_that_of_gymnasiums_world(env_id, played):
    play, env = played(env_id), gym.make(env_id).unwrapped
    env.reset(seed=0)
    now, action, obs, reward, terminated = (flat(play, n) for n in ("now", "action", "obs", "reward", "terminated"))
    assert len(now) >= 100_000
    answers = []
    for state, a in zip(np.float64(now), action, strict=True):
        env.state, env.steps_beyond_terminated = state, None
        answers.append(env.step(a)[:3])
    wanted, wanted_reward, wanted_terminated = map(np.array, zip(*answers, strict=True))
    np.testing.assert_allclose(obs, wanted, atol=TOLERANCE[env_id], rtol=TOLERANCE[env_id])
    same = terminated == wanted_terminated
    np.testing.assert_allclose(reward[same], wanted_reward[same], atol=1e-4)
    assert (~same).sum() <= 3  # so near to the end that the last digit decides


@pytest.mark.parametrize("env_id", WORLDS)
def test_spaces_and_limit_are_those_of_the_original(env_id, played):
    env, play = gym.make(env_id), played(env_id)
    limit = env.spec.max_episode_steps or env.unwrapped.grid.max_steps
    assert limit == find(env_id).LIMIT
    obs, space = play["obs"][0], env.observation_space
    assert obs.shape == (GAMES, *space.shape)
    assert all(space.contains(type(space.sample())(row) if row.ndim == 0 else row) for row in obs)
    np.testing.assert_array_equal(play["truncated"], play["time"] + 1 >= limit)


@pytest.mark.parametrize("env_id", WORLDS)
def test_games_that_have_ended_start_again_and_others_go_on(env_id, played):
    play, world = played(env_id), find(env_id)
    ended = play["terminated"] | play["truncated"]
    assert ended.any() and not ended.all()
    np.testing.assert_array_equal(play["next_time"], np.where(ended, 0, play["time"] + 1))
    starts = world.reset([7, 7], 10_000).now.numpy()
    fresh = play["next_now"][ended]
    assert (fresh >= starts.min(0) - 1e-2).all() and (fresh <= starts.max(0) + 1e-2).all()
    if fresh.dtype == np.float32:
        assert len(np.unique(fresh[:, 0])) > 0.9 * len(fresh)  # each is drawn anew
    state = State(tf.constant(play["next_now"][~ended]), tf.constant(play["next_time"][~ended]))
    np.testing.assert_allclose(world.observe(state), play["obs"][~ended], atol=1e-6)  # what goes on


def test_starts_are_spread_as_gymnasiums():
    for env_id in TOLERANCE:
        env = gym.make(env_id).unwrapped
        wanted = np.array([(env.reset(seed=seed), env.state)[1] for seed in range(2_000)], np.float64)
        found = find(env_id).reset([1, 2], 20_000).now.numpy()
        np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=0.06 * wanted.std(0).max() + 1e-9)
        np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=0.06, atol=1e-9)


def test_the_lake_slips_as_its_table_says(played):
    play, table = played("FrozenLake-v1"), gym.make("FrozenLake-v1").unwrapped.P
    counts = {}
    for now, action, obs, reward, terminated in zip(
        *(flat(play, n) for n in ("now", "action", "obs", "reward", "terminated")), strict=True
    ):
        outcomes = counts.setdefault((int(now), int(action)), {})
        outcome = int(obs), float(reward), bool(terminated)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert len(counts) == 4 * 11  # from all cells but holes and goal
    for (now, action), outcomes in counts.items():
        wanted = {}
        for probability, cell, reward, terminated in table[now][action]:
            wanted[int(cell), float(reward), bool(terminated)] = wanted.get((cell, reward, terminated), 0) + probability
        total = sum(outcomes.values())
        assert outcomes.keys() <= wanted.keys()
        for outcome, probability in wanted.items():
            deviation = 5 * np.sqrt(probability * (1 - probability) / total)
            assert abs(outcomes.get(outcome, 0) / total - probability) <= deviation + 1e-9


def test_the_grid_moves_as_the_one_in_numpy(played):
    play, grid = played("Gridworld-v0"), Grid("bombs")
    now, action = flat(play, "now"), flat(play, "action")
    cells, rewards, terminated = grid.step(now, np.full(len(now), grid.goal), action)
    np.testing.assert_array_equal(flat(play, "obs"), grid.observe(cells, np.full(len(now), grid.goal)))
    np.testing.assert_array_equal(flat(play, "reward"), rewards)
    np.testing.assert_array_equal(flat(play, "terminated"), terminated)


@pytest.mark.parametrize("env_id", WORLDS)
def test_one_seed_draws_the_same_and_another_does_not(env_id):
    world = find(env_id)
    state = world.reset([0, 0], 64)
    same, other = world.reset([0, 0], 64), world.reset([0, 1], 64)
    np.testing.assert_array_equal(state.now, same.now)
    if state.now.shape.rank > 1:
        assert (state.now.numpy() != other.now.numpy()).any()


def test_an_unknown_world_is_refused_with_those_that_there_are():
    with pytest.raises(gym.error.NameNotFound, match="Taxi-v3 is not written in TensorFlow; these are: CartPole-v1"):
        find("Taxi-v3")
