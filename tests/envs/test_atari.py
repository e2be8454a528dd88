"""What the recipes rely on in ALE's vector environment, and what they are told when an environment does not suit."""

import gymnasium as gym
import numpy as np
import pytest

from envs.atari import LifeLoss, make_atari

ALE_GAMES = sorted(name for name in gym.registry if name.startswith("ALE/"))


def play(env_id, steps, seed, num_envs=2, life_loss=True, **settings):
    """`steps` random steps: lists of observations, rewards, whether a life was lost, game over, lives."""
    envs = make_atari(env_id, num_envs, settings, life_loss=life_loss)
    rng = np.random.default_rng(0)
    obs, info = envs.reset(seed=seed)
    record = [(obs, np.zeros(num_envs), np.zeros(num_envs, bool), np.zeros(num_envs, bool), info["lives"])]
    for _ in range(steps):
        obs, reward, terminated, truncated, info = envs.step(rng.integers(0, envs.single_action_space.n, num_envs))
        record.append((obs, reward, info.get("life_lost"), terminated | truncated, info["lives"]))
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


def test_a_lost_life_is_told_but_the_game_goes_on():
    record = play("ALE/Breakout-v5", 400, seed=3)
    lives = np.array([r[4] for r in record])
    fewer = np.diff(lives, axis=0) < 0
    lost = np.array([r[2] for r in record[1:]])
    over = np.array([r[3] for r in record[1:]])
    np.testing.assert_array_equal(lost, fewer & (lives[1:] > 0))
    np.testing.assert_array_equal(over, fewer & (lives[1:] == 0))
    assert lost.any() and over.any()
    whole = play("ALE/Breakout-v5", 400, seed=3, life_loss=False)
    assert whole[-1][2] is None  # not told
    np.testing.assert_array_equal([r[3] for r in whole[1:]], over)  # the same games
    np.testing.assert_array_equal(whole[-1][0], record[-1][0])


class Lives(gym.vector.VectorEnv):
    """Two games; `info["lives"]` is what it was given, step by step."""

    num_envs = 2

    def __init__(self, lives):
        self.lives = iter(np.array(lives))

    def reset(self, **kwargs):
        return None, {"lives": next(self.lives)}

    def step(self, actions):
        return None, np.zeros(2), np.zeros(2, bool), np.ones(2, bool), {"lives": next(self.lives)}


def test_a_life_lost_on_the_frame_of_the_time_limit_is_told():
    envs = LifeLoss(Lives([[3, 1], [2, 0], [3, 1]]), counts=True)
    envs.reset()
    _, _, terminated, truncated, info = envs.step(None)
    assert info["life_lost"].tolist() == [True, False]  # 1 to 0 is the end of a game, which `terminated` tells
    assert truncated.all() and not terminated.any()
    assert envs.step(None)[-1]["life_lost"].tolist() == [False, False]  # the reset brings lives back


def test_lives_of_a_world_that_is_not_ales_mean_nothing():
    envs = LifeLoss(Lives([[3, 3], [2, 0]]), counts=False)
    envs.reset()
    assert envs.step(None)[-1]["life_lost"].tolist() == [False, False]


def test_there_are_104_games():
    assert len(ALE_GAMES) == 104


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ALE_GAMES)
def test_every_game_is_played_to_its_end_and_again(env_id):
    envs = make_atari(env_id, 1, {"max_frames": 240, "noop_max": 1})
    rng = np.random.default_rng(0)
    obs, info = envs.reset(seed=0)
    assert obs.shape == (1, 4, 84, 84) and obs.dtype == np.uint8
    lives, ends = info["lives"][0], []
    for step in range(130):
        _, _, terminated, truncated, info = envs.step(rng.integers(envs.single_action_space.n, size=1))
        resets = bool(ends) and ends[-1] == step - 1
        assert info["life_lost"][0] == (not resets and 0 < info["lives"][0] < lives)
        lives = info["lives"][0]
        if terminated[0] or truncated[0]:
            ends.append(step)
    envs.close()
    assert len(ends) >= 2 and ends[0] <= 60  # 240 frames are at most 60 steps


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
        envs = make_atari("ALE/MsPacman-v5", 12, {"noop_max": noop_max})  # a game that needs no FIRE to start
        return set(envs.reset(seed=0)[1]["episode_frame_number"].tolist())

    assert idle(1) == {0}
    assert idle(3) == {0, 1, 2}


def test_a_game_is_truncated_at_its_limit():
    envs = make_atari("ALE/Pong-v5", 1, {"max_frames": 200})
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
