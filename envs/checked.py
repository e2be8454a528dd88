"""Making an environment that fits: what does not is answered with one clear line before anything runs."""

import difflib
import warnings

import gymnasium as gym

# What a recipe may ask an observation to be.
KINDS = {
    "vectors": ("vectors of numbers", lambda space: isinstance(space, gym.spaces.Box) and len(space.shape) == 1),
    "numbers": ("numbers of states", lambda space: isinstance(space, gym.spaces.Discrete) and space.start == 0),
    "arrays": ("arrays of numbers", lambda space: isinstance(space, gym.spaces.Box)),
    "grids": ("grids of numbers", lambda space: isinstance(space, gym.spaces.Box) and len(space.shape) >= 2),
}


def make(env_id, kind, **kwargs):
    """`gym.make` for an environment with discrete actions whose observations are of one of `KINDS`.

    Raises:
        gymnasium.error.Error: unknown id (names near matches), an environment that cannot be made, or other spaces.
    """
    check_id(env_id)
    wanted, fits = KINDS[kind]
    if str(gym.spec(env_id).entry_point).startswith("ale_py"):  # which would greet before it was refused
        raise gym.error.Error(f"{env_id} shows pixels; {wanted} are wanted")
    try:
        with warnings.catch_warnings():  # the answer to an unsuitable environment is one line
            warnings.simplefilter("ignore")
            env = gym.make(env_id, disable_env_checker=True, **kwargs)
    except TypeError:
        raise gym.error.Error(f"{env_id} does not take {', '.join(kwargs)}; another kind of world is wanted") from None
    except (gym.error.Error, ImportError, ValueError) as error:
        raise gym.error.Error(f"{env_id} cannot be made: {error}") from None
    if not isinstance(env.action_space, gym.spaces.Discrete):
        raise gym.error.Error(f"{env_id} has the actions {env.action_space}; discrete ones are wanted")
    if not fits(env.observation_space):
        raise gym.error.Error(f"{env_id} shows {env.observation_space}; {wanted} are wanted")
    return env


def make_vec(env_id, num_envs, kind, **kwargs):
    """`gym.make_vec`, checked like `make`: `num_envs` environments at once, next-step autoreset."""
    make(env_id, kind, **kwargs).close()
    return gym.make_vec(env_id, num_envs, **kwargs)


def check_id(env_id):
    """Raise gymnasium.error.NameNotFound, with near matches, unless `env_id` is registered."""
    if env_id not in gym.registry:
        names = {name.lower(): name for name in gym.registry}
        near = difflib.get_close_matches(env_id.lower(), names, n=3, cutoff=0.5)
        hint = f"; near matches: {', '.join(names[name] for name in near)}" if near else ""
        raise gym.error.NameNotFound(f"unknown environment {env_id}{hint}")
