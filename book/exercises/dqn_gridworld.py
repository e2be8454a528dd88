"""The exercises of book/dqn_gridworld.md: fill each blank, then `make exercise NAME=dqn_gridworld`."""


def response(image, pattern):
    """An image [H, W, C] and one filter [k, k, C] → its response in each place it fits, [H - k + 1, W - k + 1]."""
    return ...


def field(layers):
    """(width of the window, stride) of each layer, the first one first → cells across that one output depends on."""
    return ...


def next_image(image, move):
    """Layers of walls, agent and goal [H, W, 3], and a move (dy, dx) → the next image, [H, W, 3]."""
    return ...


def weight(gamma, learning_rate, updates, interval):
    """The w of the two states w and 2w after these updates, copied after every `interval`; both copies begin at 1."""
    return ...
