"""Pictures: learning curves tell what was measured, and the arrows of grids are the moves."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from common import plots
from common.plots import (
    draw_grid,
    epsilon_greedy_values,
    middle,
    plot_action_values,
    plot_grid,
    plot_learning_curve,
    plot_policies,
    plot_runs,
    plot_state_values,
    rolling,
    save_image,
    smoothed,
)
from envs.grids import Grid

MAP = ["#####", "#A.G#", "#...#", "#####"]
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, in order."""
    seen, save = [], plots.save_figure
    monkeypatch.setattr(plots, "save_figure", lambda figure, path: (seen.append(figure), save(figure, path)))
    return seen


def texts(axes):
    """dict (x, y) → what is written there."""
    return {tuple(round(number) for number in text.get_position()): text.get_text() for text in axes.texts}


def test_an_arrow_in_every_free_cell_but_the_goal(tmp_path, figures):
    actions = np.zeros((4, 5), int)
    actions[1, 1:4], actions[2, 1:4] = [1, 1, 0], [0, 3, 2]
    plot_policies(tmp_path / "policy.png", MAP, {"greedy": actions, "behaviour": 0 * actions}, MOVES)
    greedy, behaviour = figures[0].axes
    assert (greedy.get_title(), behaviour.get_title()) == ("greedy", "behaviour")
    assert texts(greedy) == {(1, 1): "→", (2, 1): "→", (3, 1): "G", (1, 2): "↑", (2, 2): "←", (3, 2): "↓"}
    assert set(texts(behaviour).values()) == {"↑", "G"}
    assert imread(tmp_path / "policy.png").std() > 0


def test_each_actions_values_on_its_side_of_the_compass(tmp_path, figures):
    q = np.arange(80.0).reshape(4, 5, 4)
    plot_action_values(tmp_path / "q.png", MAP, q, MOVES, epsilon=0.5)
    (figure,) = figures
    placed = {axes.get_title(): axes.get_position() for axes in figure.axes if axes.get_title()}
    assert placed.keys() == {"q(s, up)", "q(s, right)", "q(s, down)", "q(s, left)", "v(s)"}
    middle = placed["v(s)"]
    assert placed["q(s, up)"].y0 > middle.y1 and placed["q(s, down)"].y1 < middle.y0
    assert placed["q(s, left)"].x1 < middle.x0 and placed["q(s, right)"].x0 > middle.x1
    drawn = {axes.get_title(): axes.images[-1].get_array() for axes in figure.axes if axes.get_title()}
    assert drawn["q(s, right)"][1, 1] == q[1, 1, 1] and drawn["q(s, right)"].mask[0].all()  # walls are not drawn
    assert drawn["v(s)"][2, 2] == 0.5 * q[2, 2].max() + 0.5 * q[2, 2].mean()


def test_grid_and_state_values(tmp_path, figures):
    plot_grid(tmp_path / "grid.png", MAP, ["#####", "#.AG#", "#...#", "#####"])
    start, now = figures[0].axes
    assert texts(start) == {(1, 1): "A", (3, 1): "G"} and texts(now) == {(2, 1): "A", (3, 1): "G"}
    plot_state_values(tmp_path / "v.png", MAP, np.ones((4, 5)))
    assert {path.name for path in tmp_path.iterdir()} == {"grid.png", "v.png"}


def test_values_of_an_epsilon_greedy_policy_by_hand():
    # 0.9 * 3 + 0.1 * (1 + 3 + 2 + 0) / 4 = 2.85
    assert epsilon_greedy_values(np.array([1.0, 3, 2, 0]), 0.1) == pytest.approx(2.85)


def test_the_pictures_of_a_network_on_a_grid(tmp_path, figures):
    """q is 7 for right everywhere, 0 for the other actions."""
    grid = Grid("simple")

    def right(obs):
        return np.tile([0.0, 7, 0, 0], (len(obs), 1))

    draw_grid(tmp_path, grid, right, epsilon=0.0, rng=np.random.default_rng(0))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"grid.png", "state_values.png", "action_values.png", "policy.png"}
    start, second = figures[0].axes
    assert texts(start)[2, 2] == texts(second)[3, 2] == "A"  # one step right of the start
    values = figures[1].axes[0].images[-1].get_array()
    assert values[1, 1] == 7 and values.mask[7, 2] and values.mask[0].all()  # neither the goal nor a wall has a value
    assert set(texts(figures[3].axes[0]).values()) == {"→", "G"}


def test_rolling_mean_and_deviation():
    mean, deviation = rolling(np.array([1.0, 3.0, 5.0, 1.0]), window=2)
    np.testing.assert_allclose(mean, [1, 2, 4, 3])
    np.testing.assert_allclose(deviation, [0, 1, 1, 2])


def test_rolling_agrees_with_windows_one_by_one():
    values = np.random.default_rng(0).normal(1e6, 1, size=500)
    windows = [values[max(0, i - 19) : i + 1] for i in range(500)]
    mean, deviation = rolling(values, window=20)
    np.testing.assert_allclose(mean, [window.mean() for window in windows], rtol=1e-12)
    np.testing.assert_allclose(deviation, [window.std() for window in windows], atol=1e-6)


def run_of(folder, returns, evaluations=(), steps=None):
    """What the curve of a run is drawn from; a game ends every ten steps, or at `steps`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"recipe": "r", "arguments": {"env_id": "e", "seed": 3}}))
    steps = steps or range(10, 10 * len(returns) + 1, 10)
    lines = [f"{i + 1},{steps[i]},1,{value},10" for i, value in enumerate(returns)]
    (folder / "episodes.csv").write_text(
        "\n".join(["episode,step,seconds,episode_return,episode_length", *lines]) + "\n"
    )
    if evaluations:
        rows = [",".join(map(str, row)) for row in evaluations]
        names = "step,episode,seconds,games,mean,deviation,min,max,length"
        (folder / "evaluations.csv").write_text("\n".join([names, *rows]) + "\n")


def test_the_curve_shows_games_mean_band_and_evaluations(tmp_path, figures):
    returns = np.random.default_rng(0).integers(2, size=400)  # 0 or 1: no score lies beyond
    run_of(tmp_path / "run", returns, [(1000, 1, 1, 10, 0.5, 0.5, 0, 1, 5), (4000, 1, 1, 10, 0.9, 0.3, 0, 1, 5)])
    plot_learning_curve(tmp_path / "run")
    (axes,) = figures[0].axes
    games, mean, evaluated = (line.get_xydata() for line in axes.lines[:3])
    np.testing.assert_array_equal(games[:, 1], returns)
    assert mean[-1, 1] == pytest.approx(returns[-20:].mean())
    assert evaluated.tolist() == [[1000, 0.5], [4000, 0.9]]
    for drawn in axes.collections:  # the band, and the bars of the evaluations
        heights = np.concatenate([path.vertices[:, 1] for path in drawn.get_paths()])
        assert heights.min() >= -1e-9 and heights.max() <= 1 + 1e-9
    assert axes.get_title() == "r on e, seed 3" and imread(tmp_path / "run" / "learning_curve.png").std() > 0


def test_a_run_without_games_has_no_curve(tmp_path):
    run_of(tmp_path / "run", [])
    plot_learning_curve(tmp_path / "run")
    assert not (tmp_path / "run" / "learning_curve.png").exists()


def test_of_very_many_games_some_are_drawn(tmp_path, figures):
    run_of(tmp_path / "run", np.arange(30_000) % 7)
    plot_learning_curve(tmp_path / "run")
    assert 5_000 <= len(figures[0].axes[0].lines[0].get_xydata()) <= 10_000


def test_pictures_keep_their_pixels(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_image(pixels, tmp_path / "pictures" / "a.png")
    np.testing.assert_array_equal((imread(tmp_path / "pictures" / "a.png")[..., 0] * 255).round(), pixels)


def test_the_interquartile_mean_by_hand_and_its_interval():
    values = np.array([0.0, 10, 20, 30, 40, 50, 60, 1000])[:, None]  # a quarter of eight is two at either end
    mean, (low, high) = middle(values)
    assert mean == [35.0] and low < 35 < high < 500
    constant, interval = middle(np.full((5, 3), 7.0))
    np.testing.assert_array_equal(constant, [7, 7, 7])
    np.testing.assert_array_equal(interval, np.full((2, 3), 7))
    alone, interval = middle(np.array([[1.0, 2]]))
    np.testing.assert_array_equal([alone, *interval], [[1, 2]] * 3)
    np.testing.assert_array_equal(middle(np.array([[0.0], [3], [6]]))[0], [3])  # of fewer than four the plain mean


def test_a_picture_of_groups_has_a_line_for_each_run_and_a_band_for_four_or_more(tmp_path, figures):
    rising = (np.array([10.0, 30]), np.array([1.0, 2]))
    falling = (np.array([5.0, 20]), np.array([2.0, 0]))
    plot_runs(tmp_path / "runs.png", {"a": [rising, falling], "b": [falling]})
    axes = figures[0].axes[0]
    assert len(axes.lines) == 2 + 1 + 1 + 1 and len(axes.collections) == 0
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert said == ["a, mean of 2 runs", "b, 1 run"]
    thick = axes.lines[2]
    assert thick.get_xdata()[[0, -1]].tolist() == [5, 30] and thick.get_ydata()[[0, -1]].tolist() == [1.5, 1.0]
    # At 15 the two are halfway up and two thirds of the way down, 1.25 and 2/3; at 25 the second has ended, 1.75 and 0.
    np.testing.assert_allclose(np.interp([15, 25], thick.get_xdata(), thick.get_ydata()), [0.9583, 0.875], atol=1e-4)
    assert imread(tmp_path / "runs.png").std() > 0
    plot_runs(tmp_path / "runs.png", {"a": [rising] * 4})
    axes = figures[1].axes[0]
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert said == ["a, interquartile mean of 4 runs", "95 % interval of the mean"]
    assert len(axes.collections) == 1 + 1  # the second one is for the legend


def test_games_that_end_together_are_one_point_of_a_curve(tmp_path):
    run_of(tmp_path / "run", [1, 3, 5, 7], steps=[20, 20, 30, 50])
    x, y = smoothed(tmp_path / "run")
    assert x.tolist() == [20, 30, 50] and y.tolist() == [2, 3, 4]  # (1+3)/2, (1+3+5)/3, (1+3+5+7)/4
