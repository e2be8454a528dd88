"""The exercises of book/ppo_pendulum.md: fill each blank, then `make exercise NAME=ppo_pendulum`."""


def log_prob(mean, deviation, action):
    """Means, deviations and the numbers of one action, lists of A each → the log of its density, one number."""
    return ...


def mean_slope(stored, mean, deviation):
    """Stored actions [B], mean and deviation → the slope of log pi in the mean, averaged over them, one number."""
    return ...


def merge(count, mean, variance, more, mean_of_more, variance_of_more):
    """Count, mean and variance of some numbers, and of some more → mean and variance of all, two numbers."""
    return ...


def what_is_seen(obs, mean, variance):
    """A raw observation, mean and variance of those before, [D] each → what the first hidden layer sees, [D]."""
    return ...
