"""Several runs in one picture: what is found, against what it is drawn, and what is refused."""

import pytest
from matplotlib.image import imread

from common import plots
from common.cli import UsageError
from recipes import hardcoded_cartpole
from recipes.plot import plot, runs_in


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """A folder with the runs of two seeds, and one that has not finished a game."""
    folder = tmp_path_factory.mktemp("runs") / "hand[written]"
    for seed in (0, 1):
        hardcoded_cartpole.train(episodes=3, seed=seed, logdir=str(folder / str(seed)))
    (folder / "begun").mkdir()
    (folder / "begun" / "episodes.csv").write_text((folder / "0" / "episodes.csv").read_text().split("\n")[0] + "\n")
    return folder


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn last: the groups and what they are drawn against."""
    seen, original = [], plots.plot_runs
    monkeypatch.setattr("recipes.plot.plot_runs", lambda *args: (seen.append(args[1:]), original(*args)))
    return seen


def test_a_run_is_itself_and_a_folder_of_runs_is_a_group(group, tmp_path, drawn, capsys):
    picture = plot(runs=f"{group},{group / '1'}", out=str(tmp_path / "both.png"))
    (groups, against), words = drawn[-1], capsys.readouterr().out
    assert [len(curves) for curves in groups.values()] == [2, 1] and against == "steps"
    assert imread(picture).std() > 0 and words == f"3 runs: {picture}\n"
    assert runs_in(group) == [group / "0", group / "1"]


def test_curves_are_drawn_against_what_is_asked_for(group, tmp_path, drawn):
    games = plots.read_episodes(group / "0")
    for against, column in (("steps", "step"), ("seconds", "seconds"), ("games", "episode")):
        plot(runs=str(group / "0"), against=against, out=str(tmp_path / "x.png"))
        (curve,) = drawn[-1][0].values()
        assert curve[0][0].tolist() == sorted({*games[column]})  # short games end within the same millisecond
        assert curve[0][1][-1] == pytest.approx(games["episode_return"].mean())


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ({"runs": ""}, "--runs=FOLDER"),
        ({"runs": "nowhere"}, "no run with a finished game"),
        ({"runs": "nowhere", "out": "curves.jpg"}, "a PNG file"),
        ({"runs": "nowhere", "out": "nowhere/curves.png"}, "a folder that exists"),
        ({"runs": "nowhere", "against": "days"}, "one of steps, seconds, games"),
    ],
)
def test_what_is_refused(flags, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=what):
        plot(**flags)
    assert not [*tmp_path.iterdir()]


def test_an_empty_run_is_refused(group):
    with pytest.raises(UsageError, match="no run with a finished game"):
        plot(runs=str(group / "begun"))
