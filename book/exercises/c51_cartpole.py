"""The exercises of book/c51_cartpole.md: fill each blank, then `make exercise NAME=c51_cartpole`."""


def project(p, z, reward, discount):
    """Probabilities p of evenly spaced atoms z, [Z] both → those of reward + discount * z on the same atoms, [Z]."""
    return ...


def distribution(k, z, gamma):
    """Steps until the fall, atoms z [Z] → the probabilities that a perfect network arrives at, [Z]."""
    return ...


def sight(v_max, gamma):
    """The highest atom → the number of steps before the fall from which on a state is worth as much."""
    return ...
