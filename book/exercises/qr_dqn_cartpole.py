"""The exercises of book/qr_dqn_cartpole.md: fill each blank, then `make exercise NAME=qr_dqn_cartpole`."""


def rho(tau, error):
    """A share, errors u = y - theta [B] → the lopsided penalty of each, [B]."""
    return ...


def quantile_loss(theta, y):
    """Predictions theta [N] for the middles of N equal shares, targets y [M] → the loss, a number."""
    return ...


def learnt(p, n):
    """Return 1 with probability p, 0 otherwise, and n outputs → what each learns with Huber's loss, [n]."""
    return ...
