"""The exercises of book/pqn_cartpole.md: fill each blank, then `make exercise NAME=pqn_cartpole`."""


def lambda_returns(reward, next_value, gamma, lam):
    """Rewards and values of what follows, [T] both, of a game that goes on → the return of each step, [T]."""
    return ...


def returns_with_ends(reward, next_value, terminated, ended, gamma, lam):
    """Rewards, values of what follows and both kinds of ends, [T] each → the return of each step, [T]."""
    return ...


def share_of_news(lam, gamma, length):
    """lambda, gamma and the steps of a rollout → how far the first return moves when the last one moves by 1."""
    return ...


def normalised(x):
    """What leaves a layer, [B, H] → the same with mean 0 and variance 1 for each observation, [B, H]."""
    return ...
