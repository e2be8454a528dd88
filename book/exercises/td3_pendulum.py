"""The exercises of book/td3_pendulum.md: fill each blank, then `make exercise NAME=td3_pendulum`."""


def target(reward, discount, next_q):
    """Rewards and discounts [B], values of what follows by C critics [B, C] → targets, [B]."""
    return ...


def opinions(correlation):
    """The correlation of the errors → means of the first critic, of the second and of the lower one, three numbers."""
    return ...


def mean_target(deviation, width):
    """The noise's deviation, and how far from the actor's action the peak reaches → the mean target, one number."""
    return ...


def smoothed(action, noise):
    """The actor's action and its noise as a share of half the range → the action of the target, one number each."""
    return ...


def copy_after(updates, tau, policy_delay):
    """A number of updates, the share and the delay → where the copy of the weight is then, one number."""
    return ...
