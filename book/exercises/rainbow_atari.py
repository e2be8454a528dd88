"""The exercises of book/rainbow_atari.md: fill each blank, then `make exercise NAME=rainbow_atari`."""


def find(priorities, number):
    """Priorities [N] → the first row whose prefix sum is larger than the number."""
    return ...


def project(reward, gamma, p, z):
    """The distribution of reward + gamma * z, with probabilities p [K], on the atoms z [K] → [K]."""
    return ...


def noisy_layer(x, mu, sigma, of_input, of_output):
    """x [B, I] @ (mu + sigma * outer(of_input, of_output)), without `outer`; noise [I], [O], or [B, I], [B, O]."""
    return ...
