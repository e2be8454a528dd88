"""Environments inside a TensorFlow graph, and what compiles one."""

import time

import numpy as np

from common.lazy import tf


def make_env_step(envs):
    """One step of a vector of environments as an operation of the graph, by `tf.numpy_function`.

    Args:
        envs: vector of N environments, those of `Run.in_graph`, so that their exceptions come out as they are.

    Returns:
        Function action [N, ...] → obs [N, ...], reward [N] float32, terminated [N], truncated [N].
    """
    obs_space, num_envs = envs.single_observation_space, envs.num_envs

    def step(action):
        obs, reward, terminated, truncated, _ = envs.step(action)
        return obs, reward.astype(np.float32), terminated, truncated

    def env_step(action):
        types = (obs_space.dtype, tf.float32, tf.bool, tf.bool)
        shapes = ((num_envs, *obs_space.shape), (num_envs,), (num_envs,), (num_envs,))
        results = tf.numpy_function(step, [action], types)
        return [tf.ensure_shape(result, shape) for result, shape in zip(results, shapes, strict=True)]

    return env_step


def compile_first(function, variables, *args):
    """Call a compiled function once, so that its compilation is not counted as training, and undo what it changed.

    Args:
        function: what `tf.function` has made.
        variables: all variables that it changes; afterwards they are what they were.
        args: of the call; its results are dropped.

    Prints the seconds that the first call took.
    """
    before, begin = [variable.numpy() for variable in variables], time.monotonic()
    function(*args)
    print(f"compiled        in {time.monotonic() - begin:.1f} s", flush=True)
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
