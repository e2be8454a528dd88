"""The exercises of book/ppo_cartpole.md: fill each blank, then `make exercise NAME=ppo_cartpole`."""


def actor_loss(ratio, advantage, epsilon):
    """Ratios and advantages, [B] both → the clipped loss of each step, [B]."""
    return ...


def slope(ratio, advantage, epsilon):
    """Ratios and advantages, [B] both → the slope of the clipped loss in the logarithm of the probability, [B]."""
    return ...


def estimates(old, new):
    """Old and new probabilities of actions, [B] both → of each action -log(ratio), and ratio - 1 - log(ratio)."""
    return ...


def standardized(advantage):
    """Advantages [B] → the same with mean 0 and population deviation 1, [B]."""
    return ...
