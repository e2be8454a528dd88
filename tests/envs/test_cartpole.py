"""CartPole without velocities is CartPole, seen in part."""

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers
from envs.checked import make_vec
from envs.repeatable import Repeatable

SEEN = [0, 2]  # position and angle, of position, its velocity, angle, its velocity


def test_one_pole_moves_as_gymnasiums_and_shows_position_and_angle():
    whole, seen = gym.make("CartPole-v1"), gym.make("CartPoleNoVelocity-v1")
    assert seen.spec.max_episode_steps == whole.spec.max_episode_steps == 500
    assert seen.observation_space.shape == (2,) and seen.action_space == whole.action_space
    actions = np.random.default_rng(0).integers(2, size=200)
    wanted, obs = whole.reset(seed=3)[0], seen.reset(seed=3)[0]
    for action in actions:
        np.testing.assert_array_equal(obs, wanted[SEEN])
        assert seen.observation_space.contains(obs)
        (wanted, *answer, _), (obs, *seen_answer, _) = whole.step(action), seen.step(action)
        assert answer == seen_answer
        if answer[1]:
            wanted, obs = whole.reset()[0], seen.reset()[0]


def test_many_poles_move_as_gymnasiums_and_show_position_and_angle():
    whole, seen = (make_vec(env_id, 5, "vectors") for env_id in ("CartPole-v1", "CartPoleNoVelocity-v1"))
    assert seen.single_observation_space.shape == (2,) and seen.observation_space.shape == (5, 2)
    rng = np.random.default_rng(0)
    wanted, obs = whole.reset(seed=3)[0], seen.reset(seed=3)[0]
    ended = 0
    for _ in range(200):
        np.testing.assert_array_equal(obs, wanted[:, SEEN])
        action = rng.integers(2, size=5)
        (wanted, *answer, _), (obs, *seen_answer, _) = whole.step(action), seen.step(action)
        np.testing.assert_array_equal(answer, seen_answer)
        ended += answer[1].sum()
    assert ended >= 20 and obs.dtype == np.float32 and seen.observation_space.contains(obs)


def upright(state):
    """The actions of a controller that sees the velocities, too, and keeps the pole up; state [..., 4] → [...]."""
    return (np.asarray(state) @ [0.1, 0.2, 2.0, 1.0] > 0).astype(int)


def test_a_game_is_truncated_after_500_steps():
    one = gym.make("CartPoleNoVelocity-v1")
    one.reset(seed=0)
    many = gym.make_vec("CartPoleNoVelocity-v1", 3)
    many.reset(seed=0)
    for step in range(1, 501):
        _, _, terminated, truncated, _ = one.step(int(upright(one.unwrapped.state)))
        _, _, some_terminated, some_truncated, _ = many.step(upright(many.unwrapped.state.T))
        assert not terminated and not some_terminated.any()
        assert truncated == (step == 500) and (some_truncated == (step == 500)).all()


def test_it_repeats_itself():
    games, rng = Repeatable(make_vec("CartPoleNoVelocity-v1", 4, "vectors")), np.random.default_rng(0)
    games.reset(seed=1)
    for _ in range(60):
        games.step(rng.integers(2, size=4))
    again = Repeatable(make_vec("CartPoleNoVelocity-v1", 4, "vectors"))
    again.load(games.state())
    action = rng.integers(2, size=4)
    np.testing.assert_array_equal(games.step(action)[0], again.step(action)[0])


def test_it_can_be_seen():
    pytest.importorskip("pygame")
    env = gym.make("CartPoleNoVelocity-v1", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (400, 600, 3)
    many = gym.make_vec("CartPoleNoVelocity-v1", 2, render_mode="rgb_array")
    many.reset(seed=0)
    assert many.render()[0].shape == (400, 600, 3)
