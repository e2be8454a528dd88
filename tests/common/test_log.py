"""The record of games: lines, points, sums of games in progress."""

import json
import re

import numpy as np
import pytest

from common.cli import UsageError
from common.files import read_csv
from common.log import EpisodeLog, Tally


def test_games_side_by_side_by_hand():
    """Two games; the first ends after two steps, resets in the third, and ends again after the fourth."""
    tally = Tally()
    on, first = np.array([True, True]), np.array([True, False])
    none = np.array([False, False])
    assert tally.add(np.array([1.0, 10.0]), on, none, {"loss": 0.5}) == []
    assert tally.add(np.array([2.0, 20.0]), on, first, {"loss": 1.5}) == [(3.0, 2, {"loss": 1.0})]
    assert tally.add(np.array([9.0, 30.0]), ~first, none, {"loss": 99.0}) == []  # only resets: its reward is no one's
    games = tally.add(np.array([4.0, 40.0]), on, on, {"loss": np.array([2.0, 1.0])})
    # Second game: rewards 10 + 20 + 30 + 40, losses (0.5 + 1.5 + 99 + 1) / 4.
    assert games == [(4.0, 1, {"loss": 2.0}), (100.0, 4, {"loss": 25.5})]


def test_sums_go_on_from_their_state():
    one, other, rng = Tally(), Tally(), np.random.default_rng(0)

    def step(*tallies):
        playing = rng.random(3) < 0.9
        ended = playing & (rng.random(3) < 0.2)
        arguments = (rng.normal(size=3), playing, ended, {"q": rng.normal(size=3)})
        return [tally.add(*arguments) for tally in tallies]

    for _ in range(20):
        step(one)
    other.load(json.loads(json.dumps(one.state())))
    found = [step(one, other) for _ in range(60)]
    assert all(a == b for a, b in found) and any(a for a, _ in found)


def log_of(folder, games=3):
    log = EpisodeLog(folder, ("loss",), "game", total=10)
    log.create()
    log.open(step=0)
    for i in range(games):
        log.add(10 * (i + 1), 0.5, float(i), 10, {"loss": i / 2})
    return log


def test_a_line_per_game(tmp_path):
    log = log_of(tmp_path)
    log.publish(30, {"episode_return": [0, 1, 2], "episode_length": [10, 10, 10], "loss": 1.0})
    log.close()
    text = (tmp_path / "episodes.csv").read_text()
    assert text.startswith("episode,step,seconds,episode_return,episode_length,loss\n1,10,0.5,0,10,0\n2,20,")
    np.testing.assert_array_equal(read_csv(tmp_path / "episodes.csv")["loss"], [0, 0.5, 1])
    assert list(log.returns) == [0, 1, 2] and log.episode == 3


def test_tensorboard_gets_the_mean_of_the_games_of_an_update(tmp_path, points):
    log = log_of(tmp_path)
    log.publish(30, {"episode_return": [0, 1, 5], "episode_length": [10, 10, 40], "loss": 0.25})
    log.points(31, {"evaluation_return": 4.0})
    log.close()
    found = points(tmp_path)
    assert found.pop("steps_per_second")[0][1] > 0
    assert found == {
        "episode_return": [(30, 2.0)], "episode_length": [(30, 20.0)], "loss": [(30, 0.25)],
        "evaluation_return": [(31, 4.0)],
    }  # fmt: skip


def test_tensorboard_shows_the_arguments_as_a_table(tmp_path, points):
    from tensorboard.plugin_util import markdown_to_safe_html

    log = log_of(tmp_path, games=0)
    log.describe(7, {"gamma": 0.9, "logdir": "a|b *c* `d` <i>\n", "resume": False, "env_id": ""})
    log.close()
    ((step, text),) = points(tmp_path)["arguments"]
    shown = markdown_to_safe_html(text).replace("\n", "")
    cells = re.findall(r"<td>(.*?)</td>", shown)
    assert step == 7 and cells == [
        "gamma", "<code>0.9</code>", "logdir", r"<code>'a|b *c* `d` &lt;i&gt;\n'</code>",
        "resume", "<code>False</code>", "env_id", "<code>''</code>",
    ]  # fmt: skip


def test_lines_after_the_state_are_dropped(tmp_path):
    log = log_of(tmp_path, games=2)
    log.tally.add(np.array([1.0]), np.array([True]), np.array([False]), {})
    kept = json.loads(json.dumps(log.state()))
    log.add(99, 0.9, 9.0, 1, {"loss": 9.0})
    log.close()
    path = tmp_path / "episodes.csv"
    path.write_text(path.read_text() + "4,99,0.9,9,half a li")  # killed while writing
    log = EpisodeLog(tmp_path, ("loss",), "game", total=10)
    before = path.read_bytes()
    log.load(kept)
    assert path.read_bytes() == before  # it is only read
    log.cut()
    assert log.episode == 2 and list(log.returns) == [0, 1] and log.tally.state() == {"reward": [1.0], "length": [1.0]}
    np.testing.assert_array_equal(read_csv(path)["episode_return"], [0, 1])


def test_a_table_that_lost_games_is_named(tmp_path):
    log = log_of(tmp_path, games=2)
    kept = log.state()
    log.close()
    (tmp_path / "episodes.csv").write_text("episode,step\n")
    with pytest.raises(UsageError, match="episodes.csv is damaged"):
        EpisodeLog(tmp_path, ("loss",), "game", total=10).load(kept)
