"""Atari games as image learners want them: skipped, max-pooled, gray, 84 x 84, four frames stacked, many at once.

The stages are those of Mnih et al. 2015; sticky actions are Machado et al. 2018. ALE's own vector environment does
them in C++.
"""

import os

import gymnasium as gym
import numpy as np

from envs.checked import build, check_actions, find, in_short, is_atari, served, try_out

# ALE's names of what has shorter or more usual ones here.
ALE_NAMES = {
    "sticky_actions": "repeat_action_probability",
    "frame_skip": "frameskip",
    "max_frames": "max_num_frames_per_episode",
}
# What makes an observation, a score or a game another thing than a learner takes it for.
DECIDED = {"reward_clipping", "life_loss_info", "episodic_life", "batch_size", "grayscale", "continuous"}
SMALLEST = 36  # height and width for the three convolutions of the Nature network


def make_atari(env_id, num_envs, env_kwargs=None, *, life_loss=True):
    """Vector environment with image observations, next-step autoreset and unclipped rewards.

    Args:
        env_id: `ALE/<Game>-v5`, or the id of any environment that shows stacks of frames, [stack, height, width] bytes.
        num_envs: games played at once.
        env_kwargs: arguments of the environment. An ALE game has these, and others that ALE names:
            sticky_actions: probability that the emulator repeats the previous action instead; 0 if not given.
            noop_max: a game starts after 0 to `noop_max` - 1 idle frames, drawn from its seed; 30 if not given.
            frame_skip: frames an action lasts; 4 if not given.
            max_frames: frames after which a game is truncated; 108,000 if not given.
        life_loss: whether `info["life_lost"]`, [N] bool, tells that a life was lost, but not the last one.

    Returns:
        gymnasium.vector.VectorEnv; observations [N, stack, height, width] uint8. `terminated` is the end of a game.

    Raises:
        gymnasium.error.Error: unknown id (names near matches), or spaces that a learner from pixels cannot serve.
    """
    name = find(env_id)
    envs = make_ale(env_id, num_envs, env_kwargs or {}) if is_atari(name) else make_other(env_id, num_envs, env_kwargs)
    return LifeLoss(envs, is_atari(name)) if life_loss else envs


def make_ale(env_id, num_envs, env_kwargs):
    """Vector of ALE games. `env_kwargs` as in `make_atari`."""
    spec = gym.spec(find(env_id))
    if spec.vector_entry_point is None:
        game = spec.kwargs["game"].title().replace("_", "")
        raise gym.error.Error(f"{env_id} is an older name; take ALE/{game}-v5")
    given = {ALE_NAMES.get(name, name): value for name, value in env_kwargs.items()}
    if taken := DECIDED & given.keys():
        raise gym.error.Error(f"{env_id}: {', '.join(sorted(taken))} cannot be chosen; the recipe decides it")
    settings = {"repeat_action_probability": 0.0, "noop_max": 30, "frameskip": 4, **given}
    for name, value in settings.items():
        if isinstance(value, int | float) and not 0 <= value <= 2**30:  # the emulator would crash
            raise gym.error.Error(f"{env_id}: {name}={value} is out of range")
    envs = build(
        gym.make_vec,
        env_id,
        settings,
        num_envs=num_envs,
        reward_clipping=False,  # the score is the score; a learner that wants it clipped clips it
        life_loss_info=False,  # `terminated` is the end of a game; where lives always are 1, nothing else tells it
        num_threads=min(num_envs, os.cpu_count() or 1),
    )
    check_frames(env_id, envs.single_observation_space)
    return served(env_id, envs, "discrete")


def make_other(env_id, num_envs, env_kwargs):
    """Vector of environments that show stacks of frames, such as `gymnasium.wrappers.FrameStackObservation` makes."""
    env = build(gym.make, env_id, env_kwargs, disable_env_checker=True)
    check_actions(env_id, env.action_space, "discrete")
    check_frames(env_id, env.observation_space)
    try_out(env_id, env)
    check_stacks(env_id, env)
    env.close()
    envs = build(gym.make_vec, env_id, env_kwargs, num_envs=num_envs, vectorization_mode="sync")
    return served(env_id, envs, "discrete")


def atari_settings(env_id, sticky_actions, noop_max):
    """Arguments for a game of ALE, see `make_atari`, and none for any other environment, which does not know them."""
    return {"sticky_actions": sticky_actions, "noop_max": noop_max} if is_atari(find(env_id)) else {}


def check_frames(env_id, space):
    """gymnasium.error.Error, with the wrappers that help, unless the observations are [stack, height, width] bytes."""
    shape, helpful = space.shape or (), []
    channels_last = len(shape) >= 3 and shape[-1] <= 4
    size = shape[-3:-1] if channels_last else shape[-2:]
    if isinstance(space, gym.spaces.Box) and len(shape) >= 2:
        if space.dtype != np.uint8:
            helpful.append("TransformObservation to bytes from 0 to 255")
        if channels_last:
            helpful.append("GrayscaleObservation" if shape[-1] == 3 else "TransformObservation to [height, width]")
        if min(size) < SMALLEST:
            helpful.append("ResizeObservation to 84 x 84")
        if len(shape) == 2 or channels_last:
            helpful.append("FrameStackObservation")
        if len(shape) == 3 and not helpful:
            return
    hint = f"; gymnasium.wrappers has {', then '.join(helpful)}" if helpful else ""
    wanted = f"stacks of gray frames are wanted, [stack, height, width] bytes, {SMALLEST} x {SMALLEST} or more"
    raise gym.error.Error(f"{env_id} shows {in_short(space)}; images are wanted: {wanted}{hint}")


def check_stacks(env_id, env, steps=32):
    """Play at random; gymnasium.error.Error unless each observation is the one before it, shifted by one new frame.

    Before the start of a game the frames must be zero or copies of the first; others could not be rebuilt.
    """
    env.action_space.seed(0)
    obs, ended = None, True
    for step in range(steps):
        if ended:
            obs, _ = env.reset(seed=step)
            older, ended = obs[-1:] if obs[:-1].any() else np.zeros_like(obs[:-1]), False
        else:
            older = obs[1:]
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            ended = terminated or truncated
        if (obs[:-1] != older).any():
            raise gym.error.Error(
                f"{env_id} shows {in_short(env.observation_space)}, in which frames do not follow one another; stacks "
                "of gray frames are wanted: gymnasium.wrappers.TransformObservation or GrayscaleObservation, then "
                "FrameStackObservation"
            )


class LifeLoss(gym.vector.VectorWrapper):
    """Adds `info["life_lost"]`, [N] bool: a life was lost in this step, but not the last one.

    Args:
        env: a vector of environments.
        counts: whether `info["lives"]` counts lives. It does in ALE; elsewhere the name may mean anything.
    """

    def __init__(self, env, counts):
        super().__init__(env)
        self.counts = counts

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        self.lives = info["lives"].copy() if self.counts else None
        return obs, info

    def step(self, actions):
        *answer, info = self.env.step(actions)
        lost = np.zeros(self.num_envs, bool)
        if self.counts:
            lost = (info["lives"] < self.lives) & (info["lives"] > 0)
            self.lives = info["lives"].copy()
        return *answer, {**info, "life_lost": lost}
