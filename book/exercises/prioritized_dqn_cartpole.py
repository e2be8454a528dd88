"""The exercises of book/prioritized_dqn_cartpole.md.

Fill each blank, then `make exercise NAME=prioritized_dqn_cartpole`.
"""


def probabilities(errors, alpha):
    """Errors [N], none below 0 → the probability with which each step is drawn, [N]."""
    return ...


def weights(probability, beta):
    """Probabilities [N] → the weight of each step, the largest 1, [N]."""
    return ...


def share(noisy, known, error, alpha):
    """Number of steps with this error, number of steps without any → share of the draws that goes to the former."""
    return ...
