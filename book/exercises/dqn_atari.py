"""The exercises of book/dqn_atari.md: fill each blank, then `make exercise NAME=dqn_atari`."""


def observation(screens):
    """Gray screens of a game, [T, H, W], four to an action, T at least 16 → what the network sees now, [4, H, W]."""
    return ...


def rebuilt(frames, slot, age):
    """A ring of frames [L, H, W]; `age`, 0 to 3, frames of the game lie before `slot` → the stack, [4, H, W]."""
    return ...


def best_constant(y):
    """Targets [B] → the number q with the least sum of Huber's losses of y - q."""
    return ...


def discounted_sum(rewards, gamma, clip):
    """Rewards, one after the other → their discounted sum; each is clipped to ±1 first if `clip` is true."""
    return ...
