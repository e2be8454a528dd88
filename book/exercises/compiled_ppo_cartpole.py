"""The exercises of book/compiled_ppo_cartpole.md: fill each blank, then `make exercise NAME=compiled_ppo_cartpole`."""


def updates(steps, num_envs, rollout_length, epochs, batch_size):
    """Settings of a run → how many rollouts it plays and how many steps of Adam it makes, two integers."""
    return ...


def order(seed, epoch, size):
    """Two integers, in a graph tensors [] → the rows 0 … size - 1 in a random order, [size] int32, without a state."""
    return ...


def traced_once(function):
    """function(x, number) of a tensor and a Python number → the same, compiled, that is traced once for all numbers."""
    return ...
