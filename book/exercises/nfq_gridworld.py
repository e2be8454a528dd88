"""The exercises of book/nfq_gridworld.md: fill each blank, then `make exercise NAME=nfq_gridworld`."""


def refitted(q, obs, action, reward, next_obs, terminated, gamma):
    """A table [S, A] and remembered steps, [B] each → the table after one fit to targets from `q`, [S, A]."""
    return ...


def targets(reward, next_q, terminated, truncated, gamma):
    """Rewards [B], next_q [B, A], how each game stands [B] bool → the targets, [B]."""
    return ...


def pulls(y, q):
    """Targets [B], values [B] → the slope of mean((y - q[:, None])²) in each value, [B]."""
    return ...


def trained(x, y, order, learning_rate):
    """Inputs [B, D], targets [B], rows one after the other → the weights of a linear model that began at 0, [D]."""
    return ...
