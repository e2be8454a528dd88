"""Pictures of grids: they exist, and the arrows are the moves."""

import numpy as np
import pytest
from matplotlib.image import imread

from common import gridplots
from common.gridplots import (
    epsilon_greedy_values,
    plot_action_values,
    plot_grid,
    plot_policies,
    plot_state_values,
)

MAP = ["#####", "#A.G#", "#...#", "#####"]
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, in order."""
    seen, save = [], gridplots._save
    monkeypatch.setattr(gridplots, "_save", lambda figure, path: (seen.append(figure), save(figure, path)))
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
