"""Atari games as image learners want them: skipped, max-pooled, gray, 84 x 84, four frames stacked, many at once.

The stages are those of Mnih et al. 2015; sticky actions are Machado et al. 2018. ALE's own vector environment does
them in C++.
"""

import os
import warnings

import gymnasium as gym
import numpy as np

from envs.checked import check_id


def make_atari(env_id, num_envs, *, sticky_actions=0.0, life_loss=True, noop_max=30, frame_skip=4, max_frames=108_000):
    """Vector environment with image observations, next-step autoreset and unclipped rewards.

    Args:
        env_id: `ALE/<Game>-v5`, or the id of any registered environment that shows [stack, height, width] bytes.
        num_envs: games played at once.
        sticky_actions: probability that the emulator repeats the previous action instead.
        life_loss: flag `terminated` when a life is lost; the game goes on, see `game_over`.
        noop_max: a game starts after 0 to `noop_max` - 1 idle frames, drawn from its seed.
        frame_skip: frames an action lasts.
        max_frames: frames after which a game is truncated.

    Returns:
        gymnasium.vector.VectorEnv; observations [N, stack, height, width] uint8.

    Raises:
        gymnasium.error.Error: unknown id (names near matches), or spaces that a learner from pixels cannot serve.
    """
    check_image_env(env_id)
    if not env_id.startswith("ALE/"):
        return gym.make_vec(env_id, num_envs, vectorization_mode="sync")
    return gym.make_vec(
        env_id,
        num_envs,
        repeat_action_probability=sticky_actions,
        life_loss_info=life_loss,
        noop_max=noop_max,
        frameskip=frame_skip,
        max_num_frames_per_episode=max_frames,
        reward_clipping=False,  # the score is the score; a learner that wants it clipped clips it
        num_threads=min(num_envs, os.cpu_count() or 1),
    )


def check_image_env(env_id):
    """Raise gymnasium.error.Error, with near matches or the spaces, unless `env_id` can be learnt from pixels."""
    check_id(env_id)
    if env_id.startswith("ALE/"):
        return
    if gym.spec(env_id).entry_point == "ale_py.env:AtariEnv":
        game = gym.spec(env_id).kwargs["game"].title().replace("_", "")
        raise gym.error.Error(f"{env_id} is an older name; take ALE/{game}-v5")
    try:
        with warnings.catch_warnings():  # the answer to an unsuitable environment is one line
            warnings.simplefilter("ignore")
            env = gym.make(env_id)
    except (gym.error.Error, ImportError) as error:
        raise gym.error.Error(f"{env_id} cannot be made: {error}") from None
    obs_space, action_space = env.observation_space, env.action_space
    env.close()
    if not isinstance(action_space, gym.spaces.Discrete):
        raise gym.error.Error(f"{env_id} has the actions {action_space}; discrete ones are wanted")
    if obs_space.dtype != np.uint8 or len(obs_space.shape or ()) != 3 or min(obs_space.shape[1:]) < 36:
        raise gym.error.Error(
            f"{env_id} shows {obs_space}; images are wanted: bytes, [stack, height, width], 36 x 36 or more"
        )


def game_over(terminated, truncated, info):
    """[N] bool: the whole game has ended, not only a life; the environment resets on the next step."""
    return (terminated & (info.get("lives", 0) == 0)) | truncated
