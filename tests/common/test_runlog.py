"""What a run leaves behind, and what continuing it changes."""

import json
import signal

import numpy as np
import pytest
from matplotlib.image import imread

from common.cli import UsageError
from common.lazy import keras, tf
from common.runlog import RunLog, interruptible, read_episodes, replacing, rolling, save_image

HEADER = "episode,step,seconds,episode_return,episode_length,epsilon\n"


def open_log(folder, **changes):
    return RunLog(
        "a_recipe", {"logdir": str(folder), "resume": False, "episodes": 10, "env_id": "x", **changes}, ("epsilon",)
    )


def test_the_folder_of_a_run(tmp_path):
    log = open_log(tmp_path / "new" / "run")
    for i in range(3):
        log.log_episode(step=10 * (i + 1), episode_return=np.float64(i), episode_length=np.int64(7), epsilon=0.5)
    with log:
        log.save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]))
    config = json.loads((log.dir / "config.json").read_text())
    assert config["recipe"] == "a_recipe" and config["arguments"]["env_id"] == "x"
    assert {"tensorflow", "keras", "python"} <= config["versions"].keys()
    assert {"machine", "git_commit", "started"} <= config.keys()
    text = (log.dir / "episodes.csv").read_text()
    assert text.startswith(HEADER) and text.count("\n") == 4
    episodes = read_episodes(log.dir)
    np.testing.assert_array_equal(episodes["step"], [10, 20, 30])
    np.testing.assert_array_equal(episodes["episode_return"], [0, 1, 2])
    assert imread(log.dir / "learning_curve.png").shape[2] == 4
    assert keras.models.load_model(log.dir / "model.keras").output_shape == (None, 3)
    assert list(log.dir.glob("events.out.tfevents.*"))


def test_tensorboard_gets_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = open_log(tmp_path)
    log.log_episode(step=10, episode_return=-21.0, episode_length=7, epsilon=0.25)
    with log:
        pass
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = {tag: events.Tensors(tag)[0] for tag in events.Tags()["tensors"]}
    values = {tag: (event.step, float(tf.make_ndarray(event.tensor_proto))) for tag, event in found.items()}
    assert values == {"episode_return": (10, -21.0), "episode_length": (10, 7.0), "epsilon": (10, 0.25)}


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path):
    log = open_log(tmp_path)
    log.log_episode(step=1, episode_return=1.0, episode_length=1, epsilon=1.0)
    with log:
        pass
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="holds a run already"):
        open_log(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        open_log(tmp_path / "file" / "run")


def test_continuing_drops_the_lines_after_the_checkpoint(tmp_path):
    log = open_log(tmp_path)
    for i in range(4):
        log.log_episode(step=i, episode_return=float(i), episode_length=1, epsilon=0.0)
        if i == 1:
            state = json.loads(json.dumps(log.state()))
    with log:
        pass
    (tmp_path / "checkpoint" / "000000000002").mkdir(parents=True)
    text = (tmp_path / "episodes.csv").read_text()
    (tmp_path / "episodes.csv").write_text(text + "5,4,0.1,half a li")  # killed while writing
    log = open_log(tmp_path, resume=True)
    log.load(state)
    assert log.episode == 2 and log.seconds >= state["seconds"]
    log.log_episode(step=9, episode_return=9.0, episode_length=1, epsilon=0.0)
    with log:
        pass
    np.testing.assert_array_equal(read_episodes(tmp_path)["episode_return"], [0, 1, 9])


def test_continuing_is_noted_in_the_settings(tmp_path):
    with open_log(tmp_path) as log:
        state = log.state()
    (tmp_path / "checkpoint" / "000000000000").mkdir(parents=True)
    with open_log(tmp_path, resume=True, episodes=20) as log:
        log.load(state)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["arguments"]["episodes"] == 20
    assert [c["after_episode"] for c in config["continued"]] == [0]


def test_continuing_with_other_settings_is_refused_and_leaves_no_trace(tmp_path):
    with open_log(tmp_path):
        pass
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="--env_id=y, but the run was started with x"):
        open_log(tmp_path, resume=True, env_id="y")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    with open_log(tmp_path):
        pass
    with open_log(tmp_path, resume=True) as log:
        assert not log.resumed
        log.log_episode(step=1, episode_return=1.0, episode_length=1, epsilon=0.0)
    assert read_episodes(tmp_path)["episode_return"].tolist() == [1]


def test_games_without_their_checkpoint_are_not_thrown_away(tmp_path):
    with open_log(tmp_path) as log:
        log.log_episode(step=1, episode_return=1.0, episode_length=1, epsilon=0.0)
    with pytest.raises(UsageError, match="holds 1 games, but their checkpoint is missing"):
        open_log(tmp_path, resume=True)
    assert read_episodes(tmp_path)["episode_return"].tolist() == [1]


def test_a_log_that_lost_games_is_named(tmp_path):
    with open_log(tmp_path) as log:
        log.log_episode(step=1, episode_return=1.0, episode_length=1, epsilon=0.0)
        state = log.state()
    (tmp_path / "checkpoint" / "000000000001").mkdir(parents=True)
    (tmp_path / "episodes.csv").write_text("episode,step\n")
    with pytest.raises(UsageError, match="episodes.csv is damaged"):
        open_log(tmp_path, resume=True).load(state)
    assert json.loads((tmp_path / "config.json").read_text()).get("continued") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "holds no run, config.json is missing"), ("{", "cannot be read"), ("[]", "cannot be read")],
)
def test_continuing_what_is_no_run_is_refused(tmp_path, text, said):
    if text:
        (tmp_path / "episodes.csv").write_text("")
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        open_log(tmp_path, resume=True)


def test_continuing_with_another_recipe_is_refused(tmp_path):
    with open_log(tmp_path):
        pass
    with pytest.raises(UsageError, match="a run of a_recipe, not of another"):
        RunLog("another", {"logdir": str(tmp_path), "resume": True, "episodes": 1})


def test_files_are_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_rolling_mean_and_deviation():
    mean, deviation = rolling(np.array([1.0, 3.0, 5.0, 1.0]), window=2)
    np.testing.assert_array_equal(mean, [1, 2, 4, 3])
    np.testing.assert_array_equal(deviation, [0, 1, 1, 2])


def test_pictures_keep_their_pixels(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_image(pixels, tmp_path / "pictures" / "a.png")
    np.testing.assert_array_equal((imread(tmp_path / "pictures" / "a.png")[..., 0] * 255).round(), pixels)


@pytest.fixture
def sigint():
    """Ctrl-C as in a terminal: a process started in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.SIGINT
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_noted_once_and_obeyed_twice(sigint):
    with interruptible() as interrupted:
        assert not interrupted()
        signal.raise_signal(sigint)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(sigint)
    with pytest.raises(KeyboardInterrupt):  # outside, Ctrl-C is itself again
        signal.raise_signal(sigint)
