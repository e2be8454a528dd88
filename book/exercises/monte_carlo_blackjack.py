"""The exercises of book/monte_carlo_blackjack.md: fill each blank, then `make exercise NAME=monte_carlo_blackjack`."""


def updated(mean, n, new):
    """The mean of n - 1 returns, n, and the n-th return → the mean of all n."""
    return ...


def mean_and_error(returns):
    """Returns [N] → their mean, and their population deviation divided by the root of N."""
    return ...


def first_visit_returns(pairs, rewards, gamma):
    """Pairs (s, a) of one game and their rewards, in order → dict of each pair's return from its first visit on."""
    return ...
