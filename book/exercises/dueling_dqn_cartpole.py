"""The exercises of book/dueling_dqn_cartpole.md: fill each blank, then `make exercise NAME=dueling_dqn_cartpole`."""


def dueling(value, advantage):
    """Value [B, 1], advantages [B, A] → action values whose mean over the actions is the value, [B, A]."""
    return ...


def moves(n):
    """Number of actions → by how much the step on the first one moves the q of each, [n]."""
    return ...


def dueling_by_max(value, advantage):
    """Value [B, 1], advantages [B, A] → action values whose highest is the value, [B, A]."""
    return ...
