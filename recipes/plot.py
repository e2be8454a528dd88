"""Draw the learning curves of several runs, or of groups of seeds, into one picture.

    python recipes/plot.py --runs=runs/reinforce_cartpole/a,runs/actor_critic_cartpole/b
    python recipes/plot.py --runs=runs/reinforce_cartpole,runs/actor_critic_cartpole --against=seconds --out=both.png

Each name is the folder of a run, or a folder that holds the folders of runs: these are one group, of several seeds.
Every run is a thin line, the mean return of its last games. A group's thick line is the interquartile mean of its runs,
and the band is the 95 % bootstrap interval of that mean; a run that has ended stays at its last value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import fire

from common.cli import UsageError, strict, validated
from common.files import read_episodes
from common.plots import plot_runs, smoothed


def runs_in(folder):
    """The folders of the runs that a name stands for, itself or those in it, in the order of their names.

    Raises:
        UsageError: there are none with a finished game.
    """
    found = [path.parent for path in (folder / "episodes.csv", *sorted(folder.glob("*/episodes.csv"))) if path.exists()]
    if found := [run for run in found if len(read_episodes(run)["episode"])]:
        return found
    raise UsageError(f"--runs={folder}: no run with a finished game is there, nor in the folders in it")


@validated
def plot(runs: str = "", against: Literal["steps", "seconds", "games"] = "steps", out: str = "curves.png") -> Path:
    """Draw the learning curves of runs into one picture, and return its path.

    Args:
        runs: folders of runs, or folders that hold some, with commas between them.
        against: what stands below: environment steps, seconds of training, or games.
        out: the picture, a PNG file.
    """
    folders = [Path(name).expanduser() for name in runs.split(",") if name]
    if not folders:
        raise UsageError("--runs=FOLDER,FOLDER,... is wanted: folders of runs, or folders that hold some")
    picture = Path(out).expanduser()
    if picture.suffix != ".png" or not picture.parent.is_dir():
        raise UsageError(f"--out={out}: a PNG file in a folder that exists is wanted")
    groups = {folder.as_posix(): [smoothed(run, against) for run in runs_in(folder)] for folder in folders}
    plot_runs(picture, groups, against)
    print(f"{sum(len(curves) for curves in groups.values())} runs: {picture}")
    return picture


if __name__ == "__main__":
    fire.Fire(strict(plot))
