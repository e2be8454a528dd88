"""Without a terminal a line now and then; on one, a bar."""

import sys

import pytest

from common import progress
from common.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_every_half_minute(capsys, clock):
    shown = Progress(100, "game", done=20)
    for second in range(1, 71):
        clock[0] = float(second)
        shown.update(1, step=f"{10 * second}")
    lines = capsys.readouterr().err.splitlines()
    # At second 31, 31 of the 80 games that were left are done, so the other 49 take 49 s; at second 62, 18.
    assert lines == [
        "game 51 of 100, step 310, about 0.8 minutes left",
        "game 82 of 100, step 620, about 0.3 minutes left",
    ]


def test_nothing_is_promised_before_something_is_done(capsys, clock):
    shown = Progress(100, "game")
    clock[0] = 40.0
    shown.update(0, step="9")
    assert capsys.readouterr().err == "game 0 of 100, step 9\n"


def test_it_never_counts_beyond_the_total():
    shown = Progress(5, "game")
    shown.update(4)
    shown.update(4)
    assert shown.done == 5


def test_on_a_terminal_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = Progress(5, "game", title="playing 5 games, greedy")
    shown.update(2, step="7")
    shown.bar.refresh()
    said = capsys.readouterr().err
    shown.close()
    assert "playing 5 games, greedy" in said and "2/5" in said and "step=7" in said
