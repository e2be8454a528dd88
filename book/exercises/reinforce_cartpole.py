"""The exercises of book/reinforce_cartpole.md: fill each blank, then `make exercise NAME=reinforce_cartpole`."""


def loss_slope(probability, action, advantage):
    """Probabilities [B, A], actions and advantages [B] → the slope of -mean(A log pi) in the logits, [B, A]."""
    return ...


def slope_moments(probability, reward, baseline):
    """Probabilities and rewards [A] → mean and deviation of (reward - baseline) * d log pi / dz for the first logit."""
    return ...


def slope_from_games_of(player, learner, advantage):
    """Probabilities of the player and of the learner, and advantages, [A] each → mean of A * d log pi / dz, [A]."""
    return ...


def advantages(games, gamma):
    """The rewards of each game, a list of [T] → its discounted returns, standardised over all games together."""
    return ...
