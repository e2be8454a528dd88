"""The exercises of book/a2c_cartpole.md: fill each blank, then `make exercise NAME=a2c_cartpole`."""


def advantages(reward, value, gamma, lam):
    """Rewards [T] and values [T + 1] of a game that goes on → the advantage of each step, [T]."""
    return ...


def bias_and_variance(lam):
    """The weight lambda → mean and variance of the first advantage over all games, two numbers."""
    return ...


def advantages_with_ends(reward, terminated, ended, value, gamma, lam):
    """Rewards and both kinds of ends [T], values [T + 1] → the advantage of each step, [T]."""
    return ...


def slopes_in_logits(probabilities, action, advantage):
    """Probabilities [A], the action taken and its advantage → the slopes of the actor's loss in the logits, [A]."""
    return ...
