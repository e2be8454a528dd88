"""The exercises of book/compiled_ppo_breakout.md: fill each blank, then `make exercise NAME=compiled_ppo_breakout`."""


def patches(planes):
    """Pictures [B, H, W, C] → the 3 x 3 cells around each inner cell, row by row, [B, H - 2, W - 2, 9 C]; NumPy."""
    return ...


def products(shape, filters, hidden_units, outputs):
    """Height, width, planes → multiplications per picture in three layers; `filters` is 0 for a dense first layer."""
    return ...


def fly(x, y, dx, dy, size):
    """Cells and directions of N balls, integers [N] each, in an empty room without a floor → the same a step later."""
    return ...
