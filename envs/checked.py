"""Making an environment that fits: what does not is answered with one clear line before anything runs."""

import difflib
import importlib
import math
import sys
import traceback
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Tuple

from envs.grids import GridEnv

MOST_STATES = 10**7  # of a table

# What a recipe may ask an environment to show, and what helps where it shows something else.
KINDS = {
    "vectors": (
        "vectors of numbers are wanted, gymnasium.wrappers.FlattenObservation makes them",
        lambda env: (
            isinstance(env.observation_space, Box)
            and len(env.observation_space.shape) == 1
            and env.observation_space.shape[0] > 0
        ),
    ),
    "numbers": (
        f"numbers of states from 0 on are wanted, or tuples of numbers, at most {MOST_STATES:,} states; "
        "gymnasium.wrappers.DiscretizeObservation or TransformObservation makes them",
        lambda env: 0 < math.prod(radix(env.observation_space)) <= MOST_STATES,
    ),
    "grids": (
        "a grid world is wanted: Gridworld-v0, grids/Simple-v0 or one with the same entry points",
        lambda env: isinstance(env.unwrapped, GridEnv),
    ),
    "planes": (
        "planes of zeros and ones are wanted, [height, width, planes] bytes: MinAtarBreakout-v0 or one like it",
        lambda env: is_of_planes(env.observation_space),
    ),
}
# What a recipe may ask the actions to be: in words, what makes them of others, who takes them.
ACTIONS = {
    "discrete": ("discrete ones", "DiscretizeAction or TransformAction", "most other recipes"),
    "continuous": ("vectors of floats with finite, different bounds", "TransformAction", "the recipes *_pendulum"),
}
# What a recipe decides, not the environment.
RESERVED = {"id", "num_envs", "render_mode", "vectorization_mode", "vector_kwargs", "wrappers", "autoreset_mode"}
OURS = ("gymnasium.", "ale_py.", "envs.")  # vectors of environments that return new arrays at each step


def make(env_id, kind, env_kwargs=None, actions="discrete"):
    """`gym.make` for an environment that shows one of `KINDS` and takes one of `ACTIONS`; discrete ones count from 0.

    Args:
        env_id: a registered id, or `module:World-v0` as gymnasium writes it; the module is imported.
        kind: a name in `KINDS`.
        env_kwargs: arguments of the environment.
        actions: a name in `ACTIONS`.

    Raises:
        gymnasium.error.Error: unknown id (names near matches), an environment that cannot be made, that breaks
            gymnasium's rules at once, or that has other spaces.
    """
    name, (wanted, fits) = find(env_id), KINDS[kind]
    if is_atari(name):  # which would greet before it was refused
        raise gym.error.Error(f"{env_id} shows pixels; {wanted.split(',')[0]}")
    try:
        env = build(gym.make, env_id, env_kwargs, disable_env_checker=True)
    except gym.error.Error as error:
        raise gym.error.Error(f"{error}; {wanted}" if kind == "grids" else error) from None
    check_actions(env_id, env.action_space, actions)
    if not fits(env):
        raise gym.error.Error(f"{env_id} shows {in_short(env.observation_space)}; {wanted}")
    try_out(env_id, env)
    if kind == "numbers" and isinstance(env.observation_space, Tuple):
        env = gym.wrappers.TransformObservation(env, *numbering(env.observation_space))
    start = first_action(env.action_space)
    return env if not start else gym.wrappers.TransformAction(env, lambda a: a + start, Discrete(env.action_space.n))


def make_vec(env_id, num_envs, kind, env_kwargs=None, actions="discrete"):
    """`gym.make_vec`, checked like `make`: `num_envs` environments at once, next-step autoreset.

    Vectors of numbers are float32, whatever the environment's own type: those that it shows, and those that it takes as
    actions. Such an action is clipped to its bounds, which a number of another type may miss by its rounding.
    """
    make(env_id, kind, env_kwargs, actions).close()
    envs = served(env_id, build(gym.make_vec, env_id, env_kwargs, num_envs=num_envs), actions)
    space = envs.single_observation_space
    if kind == "vectors" and space.dtype != np.float32:
        space = Box(-np.inf, np.inf, space.shape, np.float32)
        to_float = lambda obs: obs.astype(np.float32)  # noqa: E731
        envs = gym.wrappers.vector.TransformObservation(envs, to_float, single_observation_space=space)
    if actions == "continuous":
        own = envs.single_action_space
        space = Box(own.low.astype(np.float32), own.high.astype(np.float32))
        # A new array, because an environment may write into the one that it is given.
        bounded = lambda action: np.clip(np.asarray(action, own.dtype), own.low, own.high)  # noqa: E731
        envs = gym.wrappers.vector.TransformAction(envs, bounded, single_action_space=space)
    return envs


def served(env_id, envs, *actions):
    """A vector of environments as the recipes need it: new arrays at each step, next-step autoreset.

    Discrete actions count from 0; tuples of numbers become the number of their state.

    Args:
        env_id: for messages.
        envs: vector of environments.
        actions: the names in `ACTIONS` that will do.

    Raises:
        gymnasium.error.Error: another kind of autoreset, or other actions.
    """
    if envs.metadata.get("autoreset_mode") != gym.vector.AutoresetMode.NEXT_STEP:
        raise gym.error.Error(f"{env_id} resets in another way: its vector must have AutoresetMode.NEXT_STEP")
    check_actions(env_id, envs.single_action_space, *actions)
    if start := first_action(envs.single_action_space):
        shift, count = lambda actions: actions + start, envs.single_action_space.n
        envs = gym.wrappers.vector.TransformAction(envs, shift, single_action_space=Discrete(count))
    if isinstance(envs.single_observation_space, Tuple) and all(radix(envs.single_observation_space)):
        number, space = numbering(envs.single_observation_space)
        envs = gym.wrappers.vector.TransformObservation(envs, number, single_observation_space=space)
    if not type(envs.unwrapped).__module__.startswith(OURS):  # it may write into the array that it returned before
        envs = NewArrays(envs)
    return envs


class NewArrays(gym.vector.VectorWrapper):
    """Environments that may write into the arrays that they returned before: what comes out here stays as it is."""

    def reset(self, *, seed=None, options=None):
        obs, info = self.env.reset(seed=seed, options=options)
        return np.copy(obs), info

    def step(self, actions):
        *answer, info = self.env.step(actions)
        return *map(np.copy, answer), info


def is_of_planes(space):
    """Whether observations are planes of zeros and ones, [height, width, planes] bytes."""
    return isinstance(space, Box) and len(space.shape) == 3 and space.dtype == np.uint8 and space.high.max() == 1


def radix(space):
    """How many values each number has in a number or a tuple of numbers from 0 on; (0,) for any other space."""
    parts = space.spaces if isinstance(space, Tuple) else (space,)
    fits = all(isinstance(part, Discrete) and part.start == 0 for part in parts)
    return tuple(int(part.n) for part in parts) if fits and parts else (0,)


def numbering(space):
    """For tuples of numbers: a function from them, each a number or [N], to the number of the state, and its space.

    The last number of a tuple counts 1, the one before it as much as the last has values, and so on.
    """
    sizes = radix(space)
    return (lambda obs: np.ravel_multi_index(tuple(obs), sizes)), Discrete(math.prod(sizes))


def find(env_id):
    """The name under which `env_id` is registered, after the import of its module if it is `module:World-v0`.

    Modules are looked for where Python looks, then in the working directory.

    Raises:
        gymnasium.error.Error: the module cannot be imported, or the name is unknown (names near matches).
    """
    module, _, name = env_id.rpartition(":")
    if module:
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise gym.error.Error(f"{env_id}: {module} cannot be imported: {reason(error)}") from None
    if name not in gym.registry:
        names = {known.lower(): known for known in gym.registry}
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
        hint = f"; near matches: {', '.join(names[known] for known in near)}" if near else ""
        raise gym.error.NameNotFound(f"unknown environment {env_id}{hint}")
    return name


def is_atari(name):
    """Whether this registered name is that of an ALE game, of whatever version."""
    return str(gym.spec(name).entry_point).startswith("ale_py")


def build(maker, env_id, env_kwargs, **own):
    """`gym.make` or `gym.make_vec` of a registered environment; gymnasium.error.Error, of one line, if it fails."""
    env_kwargs = env_kwargs or {}
    if taken := RESERVED & env_kwargs.keys():
        raise gym.error.Error(f"{env_id}: {', '.join(sorted(taken))} is no argument of the environment")
    try:
        with warnings.catch_warnings():  # the answer to an unsuitable environment is one line
            warnings.simplefilter("ignore")
            return maker(env_id.rpartition(":")[2], **{**own, **env_kwargs})
    except Exception as error:  # whatever an environment may raise
        given = f" with {env_kwargs}" if env_kwargs else ""
        raise gym.error.Error(f"{env_id} cannot be made{given}: {reason(error)}") from None


def check_actions(env_id, space, *names):
    """gymnasium.error.Error unless the actions are of one of these names in `ACTIONS`."""
    kind = kind_of_actions(space)
    if kind in names:
        return
    wanted, makers, _ = zip(*(ACTIONS[name] for name in names), strict=True)
    elsewhere = f"; {ACTIONS[kind][2]} take these" if kind else ""
    raise gym.error.Error(
        f"{env_id} has the actions {in_short(space)}; {' or '.join(wanted)} are wanted, "
        f"gymnasium.wrappers.{makers[0]} makes them{elsewhere}"
    )


def kind_of_actions(space):
    """The name in `ACTIONS` for a space of actions; None for one that no recipe takes."""
    if isinstance(space, Discrete):
        return "discrete"
    if not isinstance(space, Box) or len(space.shape) != 1 or not np.issubdtype(space.dtype, np.floating):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        width = space.high.astype(np.float32) - space.low.astype(np.float32)  # as networks count
    return "continuous" if width.size and width.min() > 0 and width.max() < np.inf else None


def first_action(space):
    """The number of the first of discrete actions; 0 for others."""
    return int(getattr(space, "start", 0))


def try_out(env_id, env):
    """Reset and step once; gymnasium.error.Error, of one line, if this breaks gymnasium's rules or fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tried = gym.wrappers.PassiveEnvChecker(env)
            space = env.action_space
            action = space.start if isinstance(space, Discrete) else (space.low + space.high) / 2
            first, (second, reward, *_) = tried.reset(seed=0)[0], tried.step(action)
            if np.ndim(reward):
                raise gym.error.Error(f"a reward is a number, not an array of the shape {np.shape(reward)}")
            for obs in (first, second):
                if (shape := env.observation_space.shape) is not None and np.shape(obs) != shape:
                    raise gym.error.Error(f"an observation has the shape {np.shape(obs)}, not that of its space")
    except Exception as error:
        raise gym.error.Error(f"{env_id} fails at its first step: {reason(error)}") from None


def reason(error):
    """An exception in one line, with the place where it was raised."""
    text = " ".join(str(error).split())
    if isinstance(error, gym.error.Error):
        return text
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({Path(place.filename).name}, line {place.lineno})"


def in_short(space):
    """A space as text of at most 200 characters."""
    text = " ".join(str(space).split())
    return text if len(text) <= 200 else text[:200] + " …"
