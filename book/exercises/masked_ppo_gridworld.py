"""The exercises of book/masked_ppo_gridworld.md: fill each blank, then `make exercise NAME=masked_ppo_gridworld`."""


def masked_softmax(logits, mask):
    """Logits [A] and a mask [A], True where an action is allowed → probabilities, [A]."""
    return ...


def slopes(logits, mask, action):
    """Logits and mask [A], and the action taken → the slopes of the log of its probability in the logits, [A]."""
    return ...


def distances(moves, goal):
    """A dict of each cell's moves, cells or None where forbidden, and a goal → a dict cell → fewest moves to it."""
    return ...


def mean_steps(masked):
    """Whether only allowed actions are drawn → mean number of steps over all starts and goals, one number."""
    return ...
