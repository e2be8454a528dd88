"""The exercises of book/reinforce_dropout_cartpole.md, for `make exercise NAME=reinforce_dropout_cartpole`."""


def dropped(hidden, mask, rate):
    """Outputs of the hidden units and a mask of ones and zeros, [H] both → the outputs with dropout, [H]."""
    return ...


def logit_moments(hidden, weight, rate):
    """Outputs of the hidden units and their weights, [H] both → mean and deviation of the logit over all masks."""
    return ...


def mean_slope(w, rate, advantage, same_masks):
    """Weight and rate of the unit, advantages of left and right → mean of advantage * d log pi(action) / dw."""
    return ...


def games_until_solved(gamma):
    """Discount → how many games of 500 steps the text's running mean needs until it is above 475."""
    return ...
