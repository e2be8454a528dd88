"""The environment that a model was trained in, made again from what its run wrote down."""

import gymnasium as gym

from envs.atari import make_ale
from envs.checked import ACTIONS, build, find, is_atari, served


def remake(env_id, env_kwargs, num_envs, render_mode=None):
    """Vector environment of whole games with next-step autoreset.

    Args:
        env_id: a registered id, or `module:World-v0`, whose module is imported.
        env_kwargs: what the run gave to the environment besides.
        num_envs: games played at once.
        render_mode: `rgb_array` or `ansi`, where the environment knows it. ALE's has none.

    Raises:
        gymnasium.error.Error: an unknown id, arguments that it does not know, actions that no recipe takes.
    """
    if is_atari(find(env_id)):
        return make_ale(env_id, num_envs, env_kwargs)
    shown = {"render_mode": render_mode} if render_mode else {}
    envs = build(gym.make_vec, env_id, env_kwargs, num_envs=num_envs, **shown)
    return served(env_id, envs, *ACTIONS)
