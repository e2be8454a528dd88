"""The exercises of book/value_iteration_frozenlake.md.

Fill each blank, then `make exercise NAME=value_iteration_frozenlake`.
"""


def sweep(reward, probability, v, gamma):
    """Reward [S, A], probability [S, A, S] of going on in a state, values [S] → better values, [S]."""
    return ...


def random_play(reward, probability):
    """Reward [S, A], probability [S, A, S] → undiscounted values of the policy that draws its actions alike, [S]."""
    return ...


def in_place(reward, probability, v, gamma):
    """The model as above; changes the values v [S] one after another, in place → the largest change."""
    return ...
