"""The exercises of book/compiled_actor_critic_cartpole.md.

Fill each blank, then `make exercise NAME=compiled_actor_critic_cartpole`.
"""


def restart(now, time, terminated, limit, fresh):
    """now [N, D] after a step, time [N] before it, terminated [N], starts [N, D] → next now, next time, truncated."""
    return ...


def walk(step, state, seed, length):
    """step(state, [seed, t]) → state, for t = 0 … length - 1 in one scan → the state after each step, [length, ...]."""
    return ...


def learnt_values(share):
    """Share of steps that are truncated and bootstrap from a new start in the cold → values of warm and cold."""
    return ...
