"""The exercises of book/ppo_atari.md: fill each blank, then `make exercise NAME=ppo_atari`."""


def advantages(reward, value, lost, terminated, truncated, gamma, gae_lambda):
    """Lists of T, `value` of T + 1; the row after an end only resets → T advantages, 0 in a row that only resets."""
    return ...


def products(shape, convolutions, units, outputs):
    """Channels, height, width; (filters, size, stride) of each convolution; units; outputs → products per screen."""
    return ...


def to_bfloat16(x):
    """float32 numbers [B] → the nearest ones that need no more than the upper 16 of their 32 bits, float32 [B]."""
    return ...


def steps_per_second(num_envs, acting, emulators, batch_size, update, epochs):
    """Seconds for one step of all games, in `acting` and `emulators`, and for one `update` → steps per second."""
    return ...
