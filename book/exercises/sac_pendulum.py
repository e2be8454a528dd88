"""The exercises of book/sac_pendulum.md: fill each blank, then `make exercise NAME=sac_pendulum`."""


def log_prob(mean, deviation, noise):
    """Means, deviations and standard normal noise, lists of A each → the log of the action's density, one number."""
    return ...


def soft(q, alpha):
    """Action values [A] and the temperature → probabilities of the best soft policy, [A], and its value."""
    return ...


def step(log_alpha, target, rate):
    """The log of alpha, the entropy's target and the learning rate → the log of alpha after one step, one number."""
    return ...


def slopes(mean, deviation, noise):
    """Mean, deviation and noise, one number each → slopes of log pi in the mean and in the log of the deviation."""
    return ...
