"""Real processes, killed by the system at random moments or out of disk, continue as if nothing had happened."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from common.checkpoint import checkpoints
from common.files import read_csv
from common.lazy import keras

ROOT = Path(__file__).parent.parent
# Long enough to be killed in, short enough to wait for: one with games that restart at every update, one with a table
# and a generator that it shares with its environment, one with a replay memory and games that are under way.
LONG = {
    "reinforce_cartpole": {
        "episodes": 160, "num_envs": 4, "save_interval": 300, "eval_interval": 1000, "eval_episodes": 2,
    },
    "q_table_frozenlake": {"episodes": 3000, "save_interval": 2000, "eval_interval": 20_000, "eval_episodes": 5},
    "nfq_gridworld": {
        "env_id": "grids/RandomGoal-v0", "episodes": 400, "num_envs": 8, "max_steps": 40, "learning_starts": 300,
        "buffer_size": 3000, "batch_size": 64, "save_interval": 500, "eval_interval": 2000, "eval_episodes": 5,
    },
}  # fmt: skip


def start(name, folder, *flags, **limits):
    flags = [*(f"--{key}={value}" for key, value in LONG[name].items()), f"--logdir={folder}", *flags]
    command = [sys.executable, str(ROOT / "recipes" / f"{name}.py"), *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **limits)


def lines(folder):
    path = folder / "episodes.csv"
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def assert_same_run(a, b):
    rows = [[line.split(",")[:2] + line.split(",")[3:] for line in (run / "episodes.csv").open()] for run in (a, b)]
    assert rows[0] == rows[1]
    models = [keras.models.load_model(run / "model.keras").get_weights() for run in (a, b)]
    for x, y in zip(*models, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders of runs that nothing disturbed."""
    runs = {}
    for name in LONG:
        runs[name] = tmp_path_factory.mktemp("whole") / name
        process = start(name, runs[name])
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_run_killed_again_and_again_is_the_run_that_was_not(name, whole, tmp_path):
    folder, rng = tmp_path / "killed", np.random.default_rng()  # other moments every time: the answer must not change
    total, resume = lines(whole[name]), []
    for goal in np.sort(rng.integers(1, int(0.9 * total), size=2)):
        process = start(name, folder, *resume)
        while lines(folder) < goal and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert checkpoints(folder / "checkpoint")  # at no moment is there none
        resume = ["--resume"]
    process = start(name, folder, "--resume")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same_run(whole[name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_run_killed_while_it_starts_is_the_run_that_was_not(name, whole, tmp_path):
    folder = tmp_path / "early"
    process = start(name, folder)
    while not (folder / "config.json").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = start(name, folder, "--resume")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same_run(whole[name], folder)


@pytest.mark.slow
def test_a_full_disk_is_named_in_one_line_and_loses_nothing(whole, tmp_path):
    """The system lets no file grow beyond 40,000 bytes: the log breaks off in the middle of the run."""
    name, folder = "q_table_frozenlake", tmp_path / "full"

    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))

    process = start(name, folder, preexec_fn=full)
    _, err = process.communicate(timeout=300)
    said = [line for line in err.splitlines() if not line.startswith("playing ") and ", step " not in line]
    assert process.returncode == 1 and len(said) == 1 and "File too large" in said[0], err
    process = start(name, folder, "--resume")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same_run(whole[name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_scheduler_stops_is_saved_and_goes_on(number, whole, tmp_path):
    name, folder = "nfq_gridworld", tmp_path / "stopped"
    process = start(name, folder)
    while lines(folder) < 100 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in err, err
    saved = int(checkpoints(folder / "checkpoint")[-1].name)
    assert saved >= read_csv(folder / "episodes.csv")["step"][-1]  # no game is lost
    process = start(name, folder, "--resume")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_same_run(whole[name], folder)


@pytest.mark.slow
def test_of_two_starts_into_one_folder_one_trains_and_the_other_names_it(whole, tmp_path):
    name, folder = "nfq_gridworld", tmp_path / "one"
    first = start(name, folder)
    while lines(folder) < 20 and first.poll() is None:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)  # while the other starts
    for flags in ([], ["--resume"]):
        second = start(name, folder, *flags)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2 and err.count("\n") == 1, err
        assert "holds a run already" in err if not flags else f"in use by process {first.pid}" in err
    first.send_signal(signal.SIGCONT)
    _, err = first.communicate(timeout=300)
    assert first.returncode == 0, err
    assert_same_run(whole[name], folder)
