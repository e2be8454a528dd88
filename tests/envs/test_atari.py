"""What the recipes rely on in ALE's vector environment, and what they are told when an environment does not suit."""

import gymnasium as gym
import numpy as np
import pytest

from envs.atari import game_over, make_atari


def play(env_id, steps, seed, num_envs=2, **settings):
    """`steps` random steps: lists of observations, rewards, terminated, game over, lives."""
    envs = make_atari(env_id, num_envs, **settings)
    rng = np.random.default_rng(0)
    obs, info = envs.reset(seed=seed)
    record = [(obs, np.zeros(num_envs), np.zeros(num_envs, bool), np.zeros(num_envs, bool), info["lives"])]
    for _ in range(steps):
        obs, reward, terminated, truncated, info = envs.step(rng.integers(0, envs.single_action_space.n, num_envs))
        record.append((obs, reward, terminated, game_over(terminated, truncated, info), info["lives"]))
    envs.close()
    return record


def test_stacks_shift_by_one_frame_and_begin_with_zeros():
    record = play("ALE/Breakout-v5", 400, seed=3)
    games = 0
    for (before, _, _, over_before, _), (obs, *_) in zip(record, record[1:], strict=False):
        for e in range(2):
            if over_before[e]:  # this step only reset
                assert not obs[e, :3].any() and obs[e, 3].any()
                games += 1
            else:
                np.testing.assert_array_equal(obs[e, :3], before[e, 1:])
    assert games > 2


def test_a_lost_life_terminates_but_the_game_goes_on():
    record = play("ALE/Breakout-v5", 400, seed=3)
    lives = np.array([r[4] for r in record])
    lost = np.diff(lives, axis=0) < 0
    terminated = np.array([r[2] for r in record[1:]])
    over = np.array([r[3] for r in record[1:]])
    np.testing.assert_array_equal(terminated, lost)
    np.testing.assert_array_equal(over, lost & (lives[1:] == 0))
    assert (terminated & ~over).any() and over.any()
    whole = play("ALE/Breakout-v5", 400, seed=3, life_loss=False)
    np.testing.assert_array_equal([r[2] for r in whole[1:]], over)  # the same games, flagged at their end alone
    np.testing.assert_array_equal(whole[-1][0], record[-1][0])


def test_rewards_are_the_score():
    record = play("ALE/MsPacman-v5", 200, seed=0)
    assert {0, 10} <= {int(x) for r in record for x in r[1]}  # a pellet is worth 10, and is not clipped to 1


def test_seeds_and_sticky_actions_reach_the_emulator():
    def last(**settings):
        return play("ALE/Pong-v5", 150, **settings)[-1][0]

    base = last(seed=1)
    np.testing.assert_array_equal(base, last(seed=1))
    assert (base != last(seed=2)).any()
    assert (base != last(seed=1, sticky_actions=0.5)).any()
    assert (base != last(seed=1, frame_skip=2)).any()
    assert (base != last(seed=1, noop_max=1)).any()


def test_idle_frames_at_the_start():
    def idle(noop_max):
        envs = make_atari("ALE/MsPacman-v5", 12, noop_max=noop_max)  # a game that needs no FIRE to start
        return set(envs.reset(seed=0)[1]["episode_frame_number"].tolist())

    assert idle(1) == {0}
    assert idle(3) == {0, 1, 2}


def test_a_game_is_truncated_at_its_limit():
    envs = make_atari("ALE/Pong-v5", 1, max_frames=200)
    envs.reset(seed=0)
    flags = [envs.step(np.zeros(1, int))[2:4] for _ in range(50)]
    first = [bool(truncated[0]) for _, truncated in flags].index(True)
    assert 40 <= first + 1 <= 50 and not any(bool(terminated[0]) for terminated, _ in flags)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("ALE/Pog-v5", "unknown environment ALE/Pog-v5; near matches: .*ALE/Pong-v5"),
        ("Pong", "unknown environment Pong"),
        ("CartPole-v1", "images are wanted"),
        ("Pendulum-v1", "discrete ones are wanted"),
        ("FrozenLake-v1", "images are wanted"),
        ("MsPacmanNoFrameskip-v4", "take ALE/MsPacman-v5"),
        ("CartPole-v0", "images are wanted"),
    ],
)
def test_unsuitable_environments_are_refused_with_the_reason(env_id, message):
    with pytest.raises(gym.error.Error, match=message):
        make_atari(env_id, 1)


def test_game_over():
    terminated, truncated = np.array([True, True, False, False]), np.array([False, False, True, False])
    lives = {"lives": np.array([0, 2, 3, 0])}
    np.testing.assert_array_equal(game_over(terminated, truncated, lives), [True, False, True, False])
    np.testing.assert_array_equal(
        game_over(terminated, truncated, {}), [True, True, True, False]
    )  # a world without lives
