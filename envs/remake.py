"""The environment that a model was trained in, made again from what its run wrote down."""

import gymnasium as gym

from envs.atari import make_atari
from envs.checked import check_id


def remake(env_id, env_kwargs, num_envs, render_mode=None):
    """Vector environment of whole games with next-step autoreset.

    Args:
        env_id: a registered id; a game that ALE brings is made as `envs.atari.make_atari` makes it.
        env_kwargs: what the run gave to `gym.make`, or to `make_atari`, besides.
        num_envs: games played at once.
        render_mode: `rgb_array` or `ansi`, where the environment knows it. ALE's has none.

    Raises:
        gymnasium.error.Error: an id that is not registered (nothing is imported to look for it), arguments that it
            does not know, actions that are not discrete.
    """
    check_id(env_id)
    try:
        if is_atari(env_id):
            return make_atari(env_id, num_envs, life_loss=False, **env_kwargs)
        shown = {"render_mode": render_mode} if render_mode else {}
        envs = gym.make_vec(env_id, num_envs, **shown, **env_kwargs)
    except gym.error.Error:
        raise
    except Exception as error:  # whatever an environment does with arguments that it does not expect
        raise gym.error.Error(f"{env_id} cannot be made with {env_kwargs}: {error!r}") from None
    if not isinstance(envs.single_action_space, gym.spaces.Discrete):
        raise gym.error.Error(f"{env_id} has the actions {envs.single_action_space}; discrete ones are wanted")
    return envs


def is_atari(env_id):
    """Whether the observations are stacks of frames."""
    return env_id.startswith("ALE/") or env_id == "probes/PixelChoice-v0"
