"""Pictures: learning curves, and what was learnt on a grid (state values, action values as a compass, arrows).

A map of a grid is a list of rows of letters: `#` is a wall, `.` is a free cell, and any other letter is written into
its cell. Values are [height, width] arrays, action values are [height, width, actions] arrays, and NaN is not drawn.
`moves` holds the (dy, dx) of each action. No display is needed.
"""

import functools
import json
from pathlib import Path

import numpy as np

from common.files import read_csv, read_episodes, replacing
from common.lazy import import_matplotlib

ARROWS = {(-1, 0): "↑", (0, 1): "→", (1, 0): "↓", (0, -1): "←", (0, 0): "·"}
NAMES = {(-1, 0): "up", (0, 1): "right", (1, 0): "down", (0, -1): "left", (0, 0): "stay"}
COMPASS = {(-1, 0): (0, 1), (0, 1): (1, 2), (1, 0): (2, 1), (0, -1): (1, 0), (0, 0): (0, 0)}
OVER = "GBHC"  # letters of cells where a game is over or starts again: no action is taken there


def new_figure(width, height):
    """An empty matplotlib figure, in inches; no display is needed."""
    import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path):
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def save_image(pixels, path):
    """Write [height, width] bytes as a gray PNG, whole or not at all; its folder is made."""
    import_matplotlib()
    from matplotlib.image import imsave

    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        imsave(temporary, np.repeat(pixels[..., None], 3, axis=-1))  # RGB, because a colour map is sometimes off by one


def rolling(values, window):
    """Mean and population deviation of the last `window` values, of fewer at the start; two arrays like `values`."""
    first = np.maximum(np.arange(len(values)) + 1 - window, 0)
    count = np.arange(len(values)) + 1 - first
    centred = values - values.mean()  # sums of squares lose digits far from 0
    sums, squares = (np.concatenate([[0.0], np.cumsum(x)]) for x in (centred, centred**2))
    mean = (sums[1:] - sums[first]) / count
    variance = (squares[1:] - squares[first]) / count - mean**2
    return mean + values.mean(), np.sqrt(np.maximum(variance, 0))


def window_of(games):
    """Over how many games a learning curve is smoothed: a twentieth of them, 20 at least and 100 at most."""
    return min(100, max(20, games // 20))


def plot_learning_curve(folder):
    """Draw `learning_curve.png`: every game's return, rolling mean and deviation, evaluations; nothing without games.

    The mean is over the last `window_of` games. The band of one deviation ends at the lowest
    and the highest return of a game. At most 10,000 of the games are drawn as dots.
    """
    games = read_episodes(folder)
    step, returns = games["step"], games["episode_return"]
    if not len(returns):
        return
    window = window_of(len(returns))
    mean, deviation = rolling(returns, window)
    low, high = np.clip([mean - deviation, mean + deviation], returns.min(), returns.max())
    some = slice(None, None, -(-len(returns) // 10_000))
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    axes.plot(step[some], returns[some], ".", color="0.7", markersize=3, label="training game")
    axes.plot(step[some], mean[some], color="C0", label=f"mean of the last {window}")
    axes.fill_between(step[some], low[some], high[some], color="C0", alpha=0.15, linewidth=0)
    if (Path(folder) / "evaluations.csv").exists():
        table = read_csv(Path(folder) / "evaluations.csv")
        mean, deviation = table["mean"], table["deviation"]
        ends = np.clip([mean - deviation, mean + deviation], table["min"], table["max"])
        label = "evaluation, mean ± deviation"
        axes.errorbar(table["step"], mean, np.abs(ends - mean), fmt="o-", color="C1", capsize=3, label=label)
    axes.set(xlabel="environment steps", ylabel="return of a whole game")
    config = json.loads((Path(folder) / "config.json").read_text())
    arguments = config["arguments"]
    axes.set_title(f"{config['recipe']} on {arguments['env_id']}, seed {arguments['seed']}")
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    save_figure(figure, Path(folder) / "learning_curve.png")


AGAINST = {"steps": "step", "seconds": "seconds", "games": "episode"}  # what runs are drawn against → the column


def smoothed(folder, against="steps"):
    """A run's learning curve: where games ended, [P], and the mean return of the last games until then, [P].

    It is smoothed as `learning_curve.png` is. Games that end in the same step make one point, after the last of them.
    """
    games = read_episodes(folder)
    returns = games["episode_return"]
    mean, _ = rolling(returns, window_of(len(returns)))
    x = games[AGAINST[against]]
    is_last = np.diff(x, append=np.inf) > 0
    return x[is_last], mean[is_last]


def middle(values):
    """Values of several runs, [S, P] → the mean of the middle half of them, [P], and its 95 % interval, [2, P].

    The interquartile mean leaves out a quarter of the runs at either end, so that one run that failed does not decide
    (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264). The interval is a percentile bootstrap of 2,000 draws.
    Fewer than four runs have their plain mean, and one has no interval.
    """
    from scipy import stats  # of all that is here only this needs it, and it takes a while

    iqm = functools.partial(stats.trim_mean, proportiontocut=0.25)
    mean = iqm(values, axis=0)
    if len(values) == 1:
        return mean, np.stack([mean, mean])
    how = {"n_resamples": 2_000, "batch": 100, "method": "percentile", "vectorized": True}
    interval = stats.bootstrap((values,), iqm, axis=0, rng=np.random.default_rng(0), **how).confidence_interval
    return mean, np.stack([interval.low, interval.high])


def plot_runs(path, groups, against="steps", title=""):
    """Learning curves of groups of runs in one picture: each run thin, and `middle` over them.

    The interval is drawn for four or more runs. Between two points of a curve there is a straight line, and a run that
    has ended stays at its last value.

    Args:
        path: of the PNG.
        groups: dict name → learning curves (x, y) as `smoothed` gives them.
        against: what x is, for the axis.
        title: of the picture.
    """
    figure = new_figure(8, 4.5)
    axes = figure.subplots()
    for i, (name, curves) in enumerate(groups.items()):
        points = np.linspace(min(x[0] for x, _ in curves), max(x[-1] for x, _ in curves), 200)
        mean, (low, high) = middle(np.stack([np.interp(points, x, y) for x, y in curves]))
        for x, y in curves:
            some = slice(None, None, -(-len(x) // 2_000))
            axes.plot(x[some], y[some], color=f"C{i}", alpha=0.25, linewidth=0.6)
        count = len(curves)
        runs = "1 run" if count == 1 else f"{'interquartile mean' if count > 3 else 'mean'} of {count} runs"
        axes.plot(points, mean, color=f"C{i}", linewidth=2, label=f"{name}, {runs}")
        if count > 3:
            axes.fill_between(points, low, high, color=f"C{i}", alpha=0.25, linewidth=0)
    if max(map(len, groups.values())) > 3:
        axes.fill_between([], [], color="0.5", alpha=0.25, linewidth=0, label="95 % interval of the mean")
    axes.set(xlabel={"steps": "environment steps"}.get(against, against), ylabel="return, mean of the last games")
    axes.set_title(title)
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def plot_grid(path, start, now):
    """The grid at the start of a game, beside a later state.

    Args:
        path: of the PNG.
        start, now: the two maps.
    """
    figure = new_figure(8, 4)
    for axes, letters, title in zip(figure.subplots(1, 2), (start, now), ("grid", "state"), strict=True):
        _draw_map(axes, letters)
        axes.set_title(title)
    save_figure(figure, path)


def plot_state_values(path, letters, values):
    """One picture of [height, width] values over the map; walls stay gray."""
    figure = new_figure(5.5, 4.5)
    axes = figure.subplots()
    figure.colorbar(_draw_values(axes, letters, values, "summer"), ax=axes)
    axes.set_title("v(s) = max q(s, a)")
    save_figure(figure, path)


def plot_action_values(path, letters, q, moves, epsilon=0.0):
    """Each action's values on its side of the compass; in the middle the state values of the epsilon-greedy policy.

    Args:
        path: of the PNG.
        letters: the map.
        q: action values, [height, width, actions].
        moves: (dy, dx) of each action.
        epsilon: probability of a random action in that policy.
    """
    figure = new_figure(9, 8)
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
    save_figure(figure, path)


def plot_sweeps(path, letters, values):
    """State values after some sweeps, side by side, four in a row, in the same colours.

    Args:
        path: of the PNG.
        letters: the map.
        values: dict title → [height, width].
    """
    rows, (height, width) = -(-len(values) // 4), np.shape(next(iter(values.values())))
    figure = new_figure(12, (3 * height / width + 0.6) * rows)
    low, high = (f([f(v) for v in values.values()]) for f in (np.min, np.max))
    table = figure.subplots(rows, 4, squeeze=False)
    for axes, (title, v) in zip(table.flat, values.items(), strict=False):
        drawn = _draw_values(axes, letters, v, "summer", low, high)
        axes.set_title(title)
    figure.colorbar(drawn, ax=table)
    for axes in table.flat:
        axes.set_visible(axes.has_data())
    save_figure(figure, path)


def plot_policies(path, letters, policies, moves, walk=()):
    """Policies side by side, an arrow in every free cell but the goal.

    Args:
        path: of the PNG.
        letters: the map.
        policies: dict title → actions, [height, width].
        moves: (dy, dx) of each action.
        walk: cells (y, x) through which a line is drawn.
    """
    height, width = len(letters), len(letters[0])
    figure = new_figure(max(4, width / 2) * len(policies), max(4 * height / width, 2.5) if width > height else 4)
    for axes, (title, actions) in zip(np.atleast_1d(figure.subplots(1, len(policies))), policies.items(), strict=True):
        _draw_map(axes, letters, corner=True)
        axes.plot([x for _, x in walk], [y for y, _ in walk], color="C1", alpha=0.4, linewidth=6)
        for (y, x), action in np.ndenumerate(actions):
            if letters[y][x] not in "#" + OVER:
                axes.text(x, y, ARROWS[moves[action]], ha="center", va="center", fontsize=14)
        axes.set_title(title)
    save_figure(figure, path)


def draw_map(folder, letters, q, moves, path=()):
    """The pictures of the action values of a world with a map.

    Args:
        folder: where to; action_values.png and policy.png.
        letters: the map, rows of letters.
        q: [height * width, A].
        moves: (dy, dx) of each action.
        path: states, which are cells counted row by row, through which a line is drawn into the policy.
    """
    width = len(letters[0])
    q = q.reshape(len(letters), width, -1)
    plot_action_values(folder / "action_values.png", letters, q, moves)
    walk = [divmod(state, width) for state in path]
    plot_policies(folder / "policy.png", letters, {"greedy policy": q.argmax(-1)}, moves, walk)


def draw_grid(folder, grid, model, epsilon, rng):
    """The pictures of a Q-network: the grid and a state, v(s), q(s, a), its policy; of several goals for the last.

    Args:
        folder: where to; grid.png, state_values.png, action_values.png and policy.png.
        grid: `envs.grids.Grid`.
        model: observations of the grid → q of every action.
        epsilon: probability of a random action in the policy that explored.
        rng: numpy Generator, for the picture of that policy.
    """
    goal = grid.goals[-1] if grid.goal is None else grid.goal
    moves, cells = grid.task.moves, np.flatnonzero(~grid.walls & (np.arange(grid.walls.size) != goal))
    q = np.full((grid.walls.size, len(moves)), np.nan)  # neither a wall nor the goal has a value to show
    q[cells] = model(grid.observe(cells, np.full(len(cells), goal)))
    greedy, explore = q.argmax(-1), rng.random(len(q)) < epsilon
    behaviour = np.where(explore, rng.integers(len(moves), size=len(q)), greedy)
    start, second = (grid.letters(cell, goal) for cell in (grid.start, grid.next_cell[grid.start, greedy[grid.start]]))
    q, greedy, behaviour = (array.reshape(*grid.shape, *array.shape[1:]) for array in (q, greedy, behaviour))
    plot_grid(folder / "grid.png", start, second)
    plot_state_values(folder / "state_values.png", start, q.max(-1))
    plot_action_values(folder / "action_values.png", start, q, moves, epsilon)
    plot_policies(folder / "policy.png", start, {"greedy": greedy, f"epsilon {epsilon}": behaviour}, moves)


def epsilon_greedy_values(q, epsilon):
    """State values of the policy that is random with probability `epsilon`: [..., A] → [...]."""
    return (1 - epsilon) * q.max(-1) + epsilon * q.mean(-1)


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
            small = corner and letters[y][x] not in OVER
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
