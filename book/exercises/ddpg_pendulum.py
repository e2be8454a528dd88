"""The exercises of book/ddpg_pendulum.md: fill each blank, then `make exercise NAME=ddpg_pendulum`."""


def slope(w, s):
    """The actor's weight and states [B] → the slope of the mean value in the weight, one number."""
    return ...


def target(reward, terminated, truncated, next_q, gamma):
    """Rewards, both kinds of ends as 0 or 1, and values of what follows, [B] each → targets, [B]."""
    return ...


def copy_after(n, tau):
    """A number of updates and the share → where the copy of the weight is then, one number."""
    return ...


def half_way(tau):
    """The share → the number of updates after which the copy is at 0.5 or above, a whole number."""
    return ...


def long_run(pull, scale):
    """The two constants of the noise → its deviation and the correlation of successive steps, two numbers."""
    return ...
