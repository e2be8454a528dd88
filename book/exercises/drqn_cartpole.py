"""The exercises of book/drqn_cartpole.md: fill each blank, then `make exercise NAME=drqn_cartpole`."""


def in_loss(inside, burn_in):
    """Whether each observation is of the game [T + 1] → whether each step is in the loss, [T] bool."""
    return ...


def push(angle_before, angle):
    """The pole's angle one step ago and now, in radians → 1 to push right, 0 to push left."""
    return ...


def burn_in(f):
    """The factor by which the state fades per step → the steps until less than a hundredth of it is left."""
    return ...
