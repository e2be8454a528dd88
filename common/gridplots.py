"""Pictures of what was learnt on a grid: the map, state values, action values as a compass, policies as arrows.

A map is a list of rows of letters, of which `#` is a wall and `.` a free cell; any other letter is written into its
cell. Values are [height, width] arrays, action values [height, width, actions], NaN where nothing is to be shown, and
`moves` tells what each action does: its (dy, dx). No display is needed, none is asked for.
"""

import numpy as np

from common.runlog import replacing

ARROWS = {(-1, 0): "↑", (0, 1): "→", (1, 0): "↓", (0, -1): "←", (0, 0): "·"}
NAMES = {(-1, 0): "up", (0, 1): "right", (1, 0): "down", (0, -1): "left", (0, 0): "stay"}
COMPASS = {(-1, 0): (0, 1), (0, 1): (1, 2), (1, 0): (2, 1), (0, -1): (1, 0), (0, 0): (0, 0)}


def plot_grid(path, start, now):
    """The grid as a game begins beside a state on the way.

    Args:
        path: of the PNG.
        start, now: maps.
    """
    figure = _figure(8, 4)
    for axes, letters, title in zip(figure.subplots(1, 2), (start, now), ("grid", "state"), strict=True):
        _draw_map(axes, letters)
        axes.set_title(title)
    _save(figure, path)


def plot_state_values(path, letters, values):
    """One picture of [height, width] values over the map; walls stay gray."""
    figure = _figure(5.5, 4.5)
    axes = figure.subplots()
    figure.colorbar(_draw_values(axes, letters, values, "summer"), ax=axes)
    axes.set_title("v(s)")
    _save(figure, path)


def plot_action_values(path, letters, q, moves, epsilon=0.0):
    """Each action's values on its side of the compass, in the middle those of the epsilon-greedy policy.

    Args:
        path: of the PNG.
        letters: the map.
        q: action values, [height, width, actions].
        moves: (dy, dx) of each action.
        epsilon: share of random actions in the policy whose state values stand in the middle.
    """
    figure = _figure(9, 8)
    table = figure.subplots(3, 3)
    free = np.array([list(row) for row in letters]) != "#"
    low, high = np.nanmin(q[free]), np.nanmax(q[free])
    for a, move in enumerate(moves):
        axes = table[COMPASS[move]]
        drawn = _draw_values(axes, letters, q[..., a], "viridis", low, high)
        axes.set_title(f"q(s, {NAMES[move]})")
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    drawn = _draw_values(table[1, 1], letters, epsilon_greedy_values(q, epsilon), "summer", low, high)
    table[1, 1].set_title("v(s)")
    figure.colorbar(drawn, ax=table[1, 1], shrink=0.8)
    for axes in table.flat:
        axes.set_visible(axes.has_data())
    _save(figure, path)


def plot_policies(path, letters, policies, moves):
    """Policies side by side, an arrow in every free cell but the goal.

    Args:
        path: of the PNG.
        letters: the map.
        policies: dict title → actions, [height, width].
        moves: (dy, dx) of each action.
    """
    figure = _figure(4 * len(policies), 4)
    for axes, (title, actions) in zip(np.atleast_1d(figure.subplots(1, len(policies))), policies.items(), strict=True):
        _draw_map(axes, letters, corner=True)
        for (y, x), action in np.ndenumerate(actions):
            if letters[y][x] not in "#GBH":  # nothing is done in a wall, and nothing after the end
                axes.text(x, y, ARROWS[moves[action]], ha="center", va="center", fontsize=14)
        axes.set_title(title)
    _save(figure, path)


def epsilon_greedy_values(q, epsilon):
    """State values of the policy that is random with probability `epsilon`: [..., A] → [...]."""
    return (1 - epsilon) * q.max(-1) + epsilon * q.mean(-1)


def _figure(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_map(axes, letters, corner=False):
    walls = np.array([[letter == "#" for letter in row] for row in letters])
    axes.imshow(walls, cmap="Greys", vmin=0, vmax=1.4)
    height, width = walls.shape
    axes.set_xticks(np.arange(width - 1) + 0.5, labels=[])
    axes.set_yticks(np.arange(height - 1) + 0.5, labels=[])
    axes.grid(color="0.8", linewidth=1)
    axes.tick_params(length=0)
    for (y, x), wall in np.ndenumerate(walls):
        if not wall and letters[y][x] != ".":
            small = corner and letters[y][x] not in "GBH"
            place = (x - 0.3, y - 0.3) if small else (x, y)
            axes.text(*place, letters[y][x], ha="center", va="center", fontsize=7 if small else 14, weight="bold")


def _draw_values(axes, letters, values, colours, low=None, high=None):
    walls = np.array([[letter == "#" for letter in row] for row in letters])
    axes.imshow(walls, cmap="Greys", vmin=0, vmax=1.4)
    drawn = axes.imshow(np.ma.masked_array(values, walls | np.isnan(values)), cmap=colours, vmin=low, vmax=high)
    axes.set(xticks=[], yticks=[])
    for (y, x), wall in np.ndenumerate(walls):
        if not wall and letters[y][x] != ".":
            axes.text(x, y, letters[y][x], ha="center", va="center", fontsize=7, weight="bold")
    return drawn


def _save(figure, path):
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
