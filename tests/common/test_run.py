"""What a run leaves behind, what its loop carries, how it ends, and what continuing it changes."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from common import checkpoint
from common.cli import UsageError
from common.evaluation import Evaluations, Scores
from common.files import EPISODE_COLUMNS, NEW_IN_KERAS, read_csv, read_episodes
from common.lazy import keras
from common.run import Run, due, finite, has_pictures
from envs.checked import make_vec

ROOT = Path(__file__).parent.parent.parent


def model_of(value):
    """A model with two actions that can be told from others."""
    obs = keras.Input((1,))
    model = keras.Model(obs, keras.layers.Dense(2, use_bias=False)(obs))
    model.set_weights([np.full((1, 2), value)])
    return model


def weight(folder, name="model"):
    return weight_of(keras.models.load_model(folder / f"{name}.keras"))


def weight_of(model):
    return model.get_weights()[0][0, 0].item()


def names_in(path):
    """The names of all arguments in a saved network, which older versions of Keras must know."""
    with zipfile.ZipFile(path) as archive:
        return {*re.findall(r'"(\w+)": ', archive.read("config.json").decode())}


def new_run(folder, **changes):
    arguments = {"env_id": "probes/OneStep-v0", "episodes": 10, "seed": 0, "logdir": str(folder), "resume": False}
    return Run("a_recipe", {**arguments, **changes}, ("epsilon",))


def play(run, carry, games=1, steps=10):
    """Games of `steps` steps, each of which changes the model."""
    for _ in range(games):
        carry.model.set_weights([np.full((1, 2), carry.step + steps)])
        carry.step = run.log_games(carry.step, [float(carry.step)], [steps], epsilon=0.5)


def finished(run, **carried):
    """A run of no games, saved and closed."""
    run.begin(model=model_of(0), step=0, **carried)
    with run:
        pass


def test_the_folder_of_a_run(tmp_path):
    run = new_run(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()  # nothing is written before the run begins
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry, games=3)
    config = json.loads((run.dir / "config.json").read_text())
    assert config["recipe"] == "a_recipe" and config["arguments"]["env_id"] == "probes/OneStep-v0"
    assert {"tensorflow", "keras", "python"} <= config["versions"].keys()
    assert {"machine", "git_commit", "started"} <= config.keys()
    episodes = read_episodes(run.dir)
    np.testing.assert_array_equal(episodes["step"], [10, 20, 30])
    np.testing.assert_array_equal(episodes["episode_return"], [0, 10, 20])
    names = {path.name.split(".")[0] for path in run.dir.iterdir()}
    assert names == {"config", "episodes", "model", "learning_curve", "events", "checkpoint"}
    assert weight(run.dir) == 30


def log_rollout(run, carry, reward, playing, ended, epsilon):
    """Log T steps of two games, [T, 2] each, as a recipe does between two updates."""
    for paid, plays, ends in zip(*map(np.array, (reward, playing, ended)), strict=True):
        carry.step += int(plays.sum())
        run.log_steps(carry.step, paid, plays > 0, ends > 0, epsilon=epsilon)


@pytest.mark.parametrize("resumed", [False, True])
def test_steps_by_hand_where_a_game_goes_on_in_the_next_rollout(tmp_path, resumed):
    """Two games side by side; 99 is paid where one only resets, and belongs to no game."""
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with contextlib.ExitStack() as stack:
        stack.enter_context(run)
        first = [[1, 10], [2, 20], [99, 30]], [[1, 1], [1, 1], [0, 1]], [[0, 0], [1, 0], [0, 0]]
        log_rollout(run, carry, *first, epsilon=0.5)
        assert (carry.step, run.episode) == (5, 1)
        if resumed:
            stack.close()
            run = new_run(tmp_path, resume=True)
            carry = run.begin(model=model_of(0), step=0)
            stack.enter_context(run)
        second = [[4, 40], [5, 99], [99, 60]], [[1, 1], [1, 0], [0, 1]], [[0, 1], [1, 0], [0, 0]]
        log_rollout(run, carry, *second, epsilon=1.5)
        assert (carry.step, run.episode) == (9, 3)
    episodes = read_episodes(tmp_path)
    # 1 + 2; then 10 + 20 + 30 + 40, of which three steps were in the first rollout: (3 * 0.5 + 1.5) / 4; then 4 + 5
    assert episodes["episode_return"].tolist() == [3, 100, 9] and episodes["episode_length"].tolist() == [2, 4, 2]
    assert episodes["epsilon"].tolist() == [0.5, 0.75, 1.5] and episodes["step"].tolist() == [4, 7, 8]


@pytest.mark.parametrize("rows", [1, 3, 12])
def test_a_rollout_is_recorded_as_its_steps_are_one_by_one(tmp_path, rows):
    """Twelve steps of three games in rollouts of so many, in which several games end, in some rows two at once."""
    rng = np.random.default_rng(0)
    reward, ended = rng.normal(size=(12, 3)).astype(np.float32), rng.random((12, 3)) < 0.3
    assert ended.sum() > 5 and not ended.any(axis=1).all() and (ended.sum(axis=1) > 1).any()
    tables = {}
    for name in ("steps", "rollouts"):
        run = new_run(tmp_path / name)
        carry = run.begin(model=model_of(0), step=0)
        with run:
            for first in range(0, 12, rows):
                now = slice(first, first + rows)
                if name == "rollouts":
                    carry.step = run.log_rollout(carry.step, reward[now], ended[now], epsilon=first)
                    continue
                for paid, ends in zip(reward[now], ended[now], strict=True):
                    carry.step += 3
                    run.log_steps(carry.step, paid, np.ones(3, bool), ends, epsilon=first)
        assert carry.step == 36
        tables[name] = read_episodes(tmp_path / name)
    for column in tables["steps"]:
        if column != "seconds":
            np.testing.assert_allclose(tables["rollouts"][column], tables["steps"][column], rtol=1e-6, err_msg=column)


def test_tensorboard_has_the_arguments_of_each_start(tmp_path, points):
    finished(new_run(tmp_path, gamma=0.5))
    run = new_run(tmp_path, gamma=0.5, episodes=20, resume=True)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry)
    finished(new_run(tmp_path, gamma=0.5, episodes=30, resume=True))
    texts = points(tmp_path)["arguments"]
    assert [step for step, _ in texts] == [0, 0, 10]
    assert [re.search(r"\| episodes \| ``(\d+)`` \|", text.decode())[1] for _, text in texts] == ["10", "20", "30"]
    assert all(b"| gamma | ``0.5`` |" in text for _, text in texts)


def test_the_model_is_as_new_as_the_newest_save(tmp_path):
    run = new_run(tmp_path / "run")
    carry = run.begin(model=model_of(0), step=0)
    seen = [weight(run.dir)]
    with run:
        for _ in range(7):
            play(run, carry)
            run.save_every(25)
            seen.append(weight(run.dir))
    # Steps 10 to 70; multiples of 25 are reached at 30, 50 and, for 75 is not, at the end.
    assert seen == [0, 0, 0, 30, 30, 50, 50, 50] and weight(run.dir) == 70


def test_every_network_is_written_but_target_networks(tmp_path):
    run = new_run(tmp_path)
    run.begin(model=model_of(1), critic=model_of(2), target_model=model_of(3), made=lambda: model_of(4), step=0)
    assert {path.name for path in tmp_path.glob("*.keras")} == {"model.keras", "critic.keras", "made.keras"}
    assert not any(NEW_IN_KERAS & names_in(path) for path in tmp_path.glob("*.keras"))
    assert [weight(tmp_path, name) for name in ("model", "critic", "made")] == [1, 2, 4]


def test_everything_that_is_carried_comes_back(tmp_path):
    class Memory:
        def __init__(self, numbers):
            self.numbers = np.array(numbers)

        def state(self):
            return {"numbers": self.numbers, "count": len(self.numbers)}

        def load(self, state):
            self.numbers, self.count = state["numbers"], state["count"]

    def carried(value):
        model = model_of(value)
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)
        return {
            "model": model, "optimizer": optimizer, "rng": np.random.default_rng(int(value)),
            "table": np.full(3, value), "flags": np.array([value > 1, True]), "memory": Memory([value] * 4),
            "loss": float(value), "updates": int(value),
        }  # fmt: skip

    run = new_run(tmp_path)
    carry = run.begin(**carried(7.0), step=0)
    with run:
        gradient = [np.ones((1, 2), np.float32)]
        carry.optimizer.apply(gradient, carry.model.trainable_variables)
        carry.rng.random(5)
        carry.table *= 2
        carry.loss, carry.updates, carry.step = 0.25, 12, 10
    again = carried(0.0)
    table = again["table"]
    new = new_run(tmp_path, resume=True).begin(**again, step=0)
    assert (new.step, new.updates, new.loss) == (10, 12, 0.25)
    assert table.tolist() == [14, 14, 14] and new.flags.tolist() == [True, True]  # in place: closures see it, too
    assert new.memory.numbers.tolist() == [7] * 4 and new.memory.count == 4
    assert new.rng.random() == carry.rng.random()
    for a, b in zip(carry.optimizer.variables, new.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(carry.model.get_weights()[0], new.model.get_weights()[0])


def test_what_cannot_be_saved_is_named_at_once(tmp_path):
    with pytest.raises(TypeError, match="losses cannot be carried: list"):
        new_run(tmp_path / "run").begin(model=model_of(0), losses=[1, 2], step=0)


def test_another_shape_is_one_line(tmp_path):
    finished(new_run(tmp_path), table=np.zeros(3))
    with pytest.raises(UsageError, match="does not fit, table"):
        new_run(tmp_path, resume=True).begin(model=model_of(0), table=np.zeros(4), step=0)


def test_a_thing_that_was_not_carried_before_is_one_line(tmp_path):
    finished(new_run(tmp_path))
    with pytest.raises(UsageError, match="does not fit, updates"):
        new_run(tmp_path, resume=True).begin(model=model_of(0), updates=0, step=0)


@pytest.mark.parametrize("broken", ["model", "table"])
def test_what_is_not_finite_stops_the_run_and_the_last_good_model_stays(tmp_path, broken):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(1), table=np.zeros(3), step=0)
    with pytest.raises(FloatingPointError, match=f"{broken} is not finite at step 10"), run:
        play(run, carry)
        if broken == "model":
            carry.model.set_weights([np.full((1, 2), np.nan)])
        carry.table[0] = np.nan if broken == "table" else 0
        run.save_every(10)
    assert weight(tmp_path) == 1
    assert new_run(tmp_path, resume=True).begin(model=model_of(0), table=np.zeros(3), step=0).step == 0


def test_a_loss_that_is_not_finite_says_where():
    assert finite(np.float32(0.5), 3) == 0.5
    for value in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match="at step 1234"):
            finite(np.float32(value), 1234)


@pytest.mark.parametrize("interval", [1, 25, 100])
def test_due_counts_multiples_in_batches_of_any_size(interval):
    rng, count, multiples = np.random.default_rng(0), 0, 0
    for size in rng.integers(1, 33, size=100):
        count += int(size)
        multiples += due(count, interval, int(size))
    assert multiples == count // interval


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_game_whose_return_is_not_finite_ends_the_run_and_is_no_line(tmp_path, value):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with pytest.raises(FloatingPointError, match=f"return of a game is {value} at step 20"), run:
        play(run, carry)
        run.log_games(10, [value], [10], epsilon=0.5)
    assert read_episodes(tmp_path)["episode"].tolist() == [1]  # and not a damaged file
    assert new_run(tmp_path, resume=True).begin(model=model_of(0), step=0).step == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_evaluation_that_is_not_finite_ends_the_run_which_can_be_resumed(tmp_path, monkeypatch, value):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    scores = Scores(np.array([1.0, value]), np.array([1, 1]), 2)
    monkeypatch.setattr("common.run.evaluate", lambda *args: scores)
    with pytest.raises(FloatingPointError, match="evaluation at step 10 is NaN or infinite"), run:
        play(run, carry)
        run.evaluate_every(10, OneStep, 2)
        run.save_every(10)
    assert not (tmp_path / "evaluation.json").exists() and not (tmp_path / "best.keras").exists()
    assert new_run(tmp_path, resume=True).begin(model=model_of(0), step=0).step == 0


def test_a_run_without_an_update_says_so_and_names_the_flags_that_decide_it(tmp_path, capsys):
    run = new_run(tmp_path, learning_starts=1000)
    optimizers = {"optimizer": keras.optimizers.Adam(), "critic_optimizer": keras.optimizers.Adam()}
    carry = run.begin(model=model_of(0), **optimizers, step=0)
    with run:
        play(run, carry)
    run.tell()
    said = capsys.readouterr().out
    assert hint(said, "no update") == "was made, the network is as it began: see --learning_starts"
    optimizers["critic_optimizer"].iterations.assign(1)
    run.tell()
    assert "no update" not in capsys.readouterr().out


OneStep = partial(make_vec, "probes/OneStep-v0", kind="vectors")


def test_evaluations_at_every_multiple_of_the_interval(tmp_path, capsys):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        for _ in range(6):
            play(run, carry)
            run.evaluate_every(25, OneStep, 4)
            run.note(noted=carry.step)
            run.evaluate_every(0, OneStep, 4)
            run.save_every(1000)
    run.evaluate(OneStep, 4)
    table = read_csv(tmp_path / "evaluations.csv")
    assert table["step"].tolist() == [30, 50, 60] and table["mean"].tolist() == [1, 1, 1]
    assert table["games"].tolist() == [4, 4, 4] and table["episode"].tolist() == [3, 5, 6]
    assert weight(tmp_path, "best") == 60  # as good as the ones before: the latest
    assert not NEW_IN_KERAS & names_in(tmp_path / "best.keras")
    found = json.loads((tmp_path / "evaluation.json").read_text())  # the last one's, and nothing of another step
    assert found == {"step": 60, "epsilon": 0.0, "scores": [1.0] * 4}
    said = capsys.readouterr()
    assert (
        said.out
        == f"run             {tmp_path}\n"
        + "probes/OneStep-v0, step 60: 1.00 ± 0.00, 1 to 1, length 1.0, 4 games (1 different), greedy\n"
    )
    assert "step 30: 1.00" in said.err and said.err.count("playing 4 games, greedy\n") == 3


def hint(said, what):
    """The command of the line that begins with `what`."""
    (line,) = [line for line in said.splitlines() if line.startswith(what)]
    return line.removeprefix(what).strip()


@pytest.mark.parametrize(
    ("changes", "games", "flags"),
    [
        ({"episodes": 3}, 3, "--episodes=6"),
        ({"episodes": 3}, 4, "--episodes=8"),  # the last update played more games than were asked for
        ({"episodes": 300, "solved_at": 495.0}, 100, "--episodes=200 --solved_at=1e9"),  # they average 495
        ({"episodes": 100, "solved_at": 496.0}, 100, "--episodes=200"),
        ({"episodes": 99, "solved_at": 0.0}, 99, "--episodes=198"),  # too few games for a mean
        ({"episodes": 99, "steps": 30}, 4, "--steps=80"),
        ({"episodes": 3, "steps": 90}, 4, "--episodes=8"),  # twice the steps would end with the games as before
        ({"episodes": 3, "steps": 30}, 4, "--steps=80 --episodes=8"),
    ],
)
def test_the_hint_to_train_on_names_more_games_and_a_goal_that_is_not_reached(tmp_path, capsys, changes, games, flags):
    run = new_run(tmp_path, **changes)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry, games)
    run.tell()
    assert hint(capsys.readouterr().out, "to train on").endswith(f" --logdir={tmp_path} --resume {flags}")


def test_the_hints_name_recipes_from_where_one_is_and_the_newest_event_file(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "a run; it's mine"
    finished(new_run(folder))
    run = new_run(folder, resume=True)
    run.begin(model=model_of(0), step=0)
    with run:
        pass
    for where, recipe in (
        (ROOT, "recipes/play.py"),
        (ROOT / "recipes", "play.py"),
        (tmp_path, ROOT / "recipes/play.py"),
    ):
        monkeypatch.chdir(where)
        run.tell()
        said = capsys.readouterr().out
        words = shlex.split(hint(said, "to play with it"))
        assert words == ["python", str(recipe), f"--run={folder}", "--episodes=100"]  # this world has no pictures
        assert hint(said, "event file") == str(sorted(folder.glob("events.out.*"))[1])


@pytest.mark.parametrize(
    ("env_id", "pictures"),
    [
        ("CartPole-v1", True), ("ALE/Pong-v5", True), ("Gridworld-v0", True), ("FrozenLake-v1", True),
        ("probes/OneStep-v0", False), ("probes/PixelChoice-v0", False), ("module:CartPole-v1", True),
    ],
)  # fmt: skip
def test_a_film_is_offered_of_what_has_pictures(env_id, pictures):
    assert has_pictures(env_id) == pictures


def test_runs_of_neighbouring_seeds_are_evaluated_in_other_games(tmp_path, monkeypatch):
    """A vector of N environments is reset with N seeds in a row; shared games would make all runs lucky together."""
    played = []
    monkeypatch.setattr("common.run.evaluate", lambda envs, act, seed, *_: played.extend(range(seed, seed + 1000)))
    for seed in range(3):
        run = new_run(tmp_path / str(seed), seed=seed)
        run.begin(model=model_of(0), step=0)
        with run:
            pass
        run.evaluate(OneStep, 1000)
    assert len(played) == len({*played}) == 3000


def test_no_games_are_no_evaluation(tmp_path):
    run = new_run(tmp_path)
    run.begin(model=model_of(0), step=0)
    with run:
        pass
    assert run.evaluate(OneStep, 0) is None and not (tmp_path / "evaluations.csv").exists()


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path):
    finished(new_run(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="holds a run already"):
        new_run(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        new_run(tmp_path / "file" / "run").begin(model=model_of(0), step=0)


def test_continuing_drops_what_came_after_the_last_save(tmp_path):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with pytest.raises(ZeroDivisionError), run:
        play(run, carry, games=2)
        run.save()
        play(run, carry, games=2)
        raise ZeroDivisionError
    again = new_run(tmp_path, resume=True, episodes=20)
    carry = again.begin(model=model_of(0), step=0)
    assert again.episode == 2 and carry.step == 20 and again.seconds > 0
    with again:
        play(again, carry)
    assert read_episodes(tmp_path)["step"].tolist() == [10, 20, 30]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["arguments"]["episodes"] == 20
    assert [c["after_episode"] for c in config["continued"]] == [2]


def test_continuing_with_other_settings_is_refused_and_leaves_no_trace(tmp_path):
    finished(new_run(tmp_path, gamma=0.5))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="--gamma=0.9, but the run was started with 0.5"):
        new_run(tmp_path, resume=True, gamma=0.9)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_that_was_killed_before_its_first_save_begins_anew(tmp_path):
    finished(new_run(tmp_path))
    for path in (tmp_path / "checkpoint").rglob("*"):
        if path.is_file():
            path.unlink()
    for folder in (tmp_path / "checkpoint").iterdir():
        folder.rmdir()
    run = new_run(tmp_path, resume=True)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry)
    assert read_episodes(tmp_path)["step"].tolist() == [10]


def test_games_without_their_checkpoint_are_not_thrown_away(tmp_path):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry)
    (tmp_path / "checkpoint").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="holds 1 games, but their checkpoint is missing"):
        new_run(tmp_path, resume=True)
    assert read_episodes(tmp_path)["step"].tolist() == [10]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "holds no run, config.json is missing"), ("{", "cannot be read"), ("[]", "cannot be read")],
)
def test_continuing_what_is_no_run_is_refused(tmp_path, text, said):
    if text:
        (tmp_path / "episodes.csv").write_text("")
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        new_run(tmp_path, resume=True)


def test_continuing_with_another_recipe_is_refused(tmp_path):
    finished(new_run(tmp_path))
    with pytest.raises(UsageError, match="a run of a_recipe, not of another"):
        Run("another", {"env_id": "x", "logdir": str(tmp_path), "resume": True, "episodes": 1, "seed": 0})


def tree(folder):
    """Every file and folder below a folder, with its time and its bytes."""
    paths = [folder, *folder.rglob("*")]
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in paths}


def longer_than_its_checkpoint(folder):
    """A run of two saved games that was killed after a third, so that a continuation has something to cut."""
    run = new_run(folder)
    carry = run.begin(model=model_of(0), table=np.zeros(3), step=0)
    with pytest.raises(ZeroDivisionError), run:
        play(run, carry, games=2)
        run.evaluate_every(10, OneStep, 2)
        play(run, carry)
        run.evaluate(OneStep, 2)
        raise ZeroDivisionError
    return folder


def edited(name, old, new):
    """A function that replaces text in a file of a run."""

    def edit(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


def changed(**values):
    """A function that changes values of config.json; None takes one out."""

    def change(folder):
        config = {**json.loads((folder / "config.json").read_text()), **values}
        (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return change


def argument(name, value):
    def change(folder):
        arguments = json.loads((folder / "config.json").read_text())["arguments"]
        changed(arguments={k: v for k, v in {**arguments, name: value}.items() if v != "gone"})(folder)

    return change


def written(name, text):
    return lambda folder: (folder / name).write_text(text)


def in_checkpoint(damage):
    return lambda folder: damage(folder / "checkpoint" / "000000000020")


DAMAGES = {
    "short row": (edited("episodes.csv", "2,20,", "2,"), "episodes.csv is damaged: line 3"),
    "missing column": (edited("episodes.csv", ",epsilon", ""), "episodes.csv is damaged"),
    "renamed column": (edited("episodes.csv", "epsilon", "eps"), "episodes.csv is damaged: its first line"),
    "text in a cell": (edited("episodes.csv", "2,20,", "2,twenty,"), "episodes.csv is damaged: line 3"),
    "row taken out": (edited("episodes.csv", "1,10,", "2,10,"), "episodes.csv is damaged: line 2"),
    "empty table": (written("episodes.csv", ""), "episodes.csv is damaged"),
    "only its names": (written("episodes.csv", ",".join((*EPISODE_COLUMNS, "epsilon")) + "\n"), "lacks games"),
    "bytes": (lambda folder: (folder / "episodes.csv").write_bytes(b"\xff\xfe"), "episodes.csv cannot be read"),
    "no table": (lambda folder: (folder / "episodes.csv").unlink(), "episodes.csv is missing"),
    "null": (argument("env_id", None), "--env_id"),
    "another type": (argument("seed", "zero"), "--seed=0, but the run was started with zero"),
    "argument gone": (argument("seed", "gone"), "lacks the argument seed"),
    "list": (written("config.json", "[]"), "config.json cannot be read"),
    "no arguments": (changed(arguments=None), "arguments is missing or wrong"),
    "arguments a list": (changed(arguments=[]), "arguments is missing or wrong"),
    "no env_kwargs": (changed(env_kwargs=None), "env_kwargs is missing or wrong"),
    "other env_kwargs": (changed(env_kwargs={"x": 1}), "was started with {'x': 1}"),
    "a flag and env_kwargs, which may hold it": (
        lambda folder: (argument("seed", 1)(folder), changed(env_kwargs={"x": 1})(folder)), "--seed=0, but the run",
    ),
    "continued a number": (changed(continued=3), "continued is missing or wrong"),
    "evaluations short": (edited("evaluations.csv", "20,2,", "20,"), "evaluations.csv is damaged: line 2"),
    "evaluations empty": (written("evaluations.csv", ""), "evaluations.csv is damaged"),
    "evaluations renamed": (edited("evaluations.csv", "mean", "average"), "evaluations.csv is damaged"),
    "evaluation": (written("evaluation.json", "{"), "evaluation.json cannot be read"),
    "state": (in_checkpoint(written("state.json", "")), "state.json is not as it was written"),
    "tensors": (in_checkpoint(lambda at: (at / "tensors.index").unlink()), "tensors.index is not as it was written"),
    "array": (in_checkpoint(written("table.npy", "")), "table.npy is not as it was written"),
    "manifest": (in_checkpoint(written("manifest.json", "[]")), "is damaged"),
    "path": (in_checkpoint(edited("manifest.json", '"table.npy"', '"../../x"')), "does not name the files"),
    "renamed": (lambda f: (f / "checkpoint/000000000020").rename(f / "checkpoint/000000000099"), "saved at step 20"),
    "no checkpoint": (lambda folder: (folder / "checkpoint").rename(folder / "elsewhere"), "checkpoint is missing"),
}  # fmt: skip


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return longer_than_its_checkpoint(tmp_path_factory.mktemp("killed") / "run")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_refused_in_one_line_and_left_as_it_is(damage, killed, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    spoil, said = DAMAGES[damage]
    spoil(tmp_path / "run")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        new_run(tmp_path / "run", resume=True).begin(model=model_of(0), table=np.zeros(3), step=0)
    assert "\n" not in str(refused.value) and tree(tmp_path) == before


@pytest.mark.parametrize(
    ("carried", "said"),
    [
        ({"table": np.zeros(4)}, "does not fit, table"),
        ({"table": np.zeros(3), "updates": 0}, "does not fit, updates"),
        ({"table": np.zeros(3), "critic": None}, "other shapes"),
    ],
)
def test_what_does_not_fit_a_run_leaves_it_as_it_is(carried, said, killed, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    carried = {name: model_of(0) if value is None else value for name, value in carried.items()}
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=said):
        new_run(tmp_path / "run", resume=True).begin(model=model_of(0), **carried, step=0)
    assert tree(tmp_path) == before


def test_a_lost_model_is_written_again_and_copies_do_no_harm(killed, tmp_path):
    shutil.copytree(killed, tmp_path / "run")
    (tmp_path / "run" / "model.keras").unlink()
    copy = shutil.copytree(tmp_path / "run/checkpoint/000000000020", tmp_path / "run/checkpoint/000000000020 copy")
    run = new_run(tmp_path / "run", resume=True)
    assert run.begin(model=model_of(0), table=np.zeros(3), step=0).step == 20
    with run:
        pass
    assert weight(tmp_path / "run") == 20 and copy.is_dir()
    assert read_csv(tmp_path / "run" / "evaluations.csv")["step"].tolist() == [20]  # that of step 30 was cut
    assert read_episodes(tmp_path / "run")["step"].tolist() == [10, 20]


@pytest.mark.parametrize("name", ["runs/[0.01]*?", "-x", "a 'b' \"c\"", "ä\\n", "new\nline"])
def test_folders_of_any_name_go_on_and_are_quoted(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for resume in (False, True):
        run = new_run(name, resume=resume)
        carry = run.begin(model=model_of(0), step=0)
        with run:
            play(run, carry)
        capsys.readouterr()
        run.tell()
        words = shlex.split(capsys.readouterr().out)
        assert f"--run={name}" in words and words.count(f"--logdir={name}") == 2
    assert read_episodes(name)["step"].tolist() == [10, 20] and weight(tmp_path / name) == 20


def test_a_save_looks_for_nan_once(tmp_path, monkeypatch):
    looked, original = [], checkpoint.check_finite
    monkeypatch.setattr(checkpoint, "check_finite", lambda step, *args: (looked.append(step), original(step, *args)))
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry)
    assert looked == [0, 10]


def evaluated_run(folder, stops=(), interval=25):
    """Seven games of ten steps, each of which changes the model, stopped in an evaluation at each step of `stops`."""
    resume = False
    while True:
        run = new_run(folder, resume=resume)
        carry = run.begin(model=model_of(0), step=0)

        def make_envs(count, run=run, carry=carry):
            if stops and carry.step >= stops[0]:
                stops.pop(0)
                signal.raise_signal(signal.SIGTERM)
            return make_vec("probes/OneStep-v0", count, "vectors")

        try:
            with run:
                while run.episode < 7 and not run.interrupted:
                    play(run, carry)
                    run.evaluate_every(interval, make_envs, 2)
                    run.save_every(20)
            return
        except SystemExit:
            resume = True


@pytest.mark.parametrize("stops", [[30], [30, 40], [30, 30, 50]], ids=str)
def test_an_evaluation_that_was_broken_off_is_made_when_the_run_goes_on(tmp_path, stops):
    evaluated_run(tmp_path / "whole")
    evaluated_run(tmp_path / "stopped", list(stops))
    whole, stopped = (
        {name: column.tolist() for name, column in read_csv(tmp_path / folder / "evaluations.csv").items()}
        for folder in ("whole", "stopped")
    )
    assert whole.pop("seconds") != stopped.pop("seconds")
    assert whole == stopped and whole["step"] == [30, 50] and whole["episode"] == [3, 5]
    assert weight(tmp_path / "whole", "best") == weight(tmp_path / "stopped", "best") == 50
    assert weight(tmp_path / "stopped") == 70
    assert read_episodes(tmp_path / "stopped")["step"].tolist() == [10, 20, 30, 40, 50, 60, 70]


def test_an_evaluation_that_was_broken_off_is_of_the_network_of_that_time(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Evaluations, "add", lambda self, step, *rest: seen.append((step, weight_of(rest[-1]))))
    evaluated_run(tmp_path, [30])
    assert seen == [(30, 30), (50, 50)]


def test_a_run_that_goes_on_without_evaluations_makes_none_up(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.run.evaluate", lambda *args: None)
        run = new_run(tmp_path)
        carry = run.begin(model=model_of(0), step=0)
        with run:
            play(run, carry, games=3)
            run.evaluate_every(25, OneStep, 2)
    run = new_run(tmp_path, resume=True)
    carry = run.begin(model=model_of(0), step=0)
    with run:
        play(run, carry)
        run.evaluate_every(0, OneStep, 2)
        run.save_every(10)
    assert not (tmp_path / "evaluations.csv").exists() and weight(tmp_path) == 40


@pytest.fixture
def sigint():
    """Ctrl-C as in a terminal: a process started in the background inherits that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.SIGINT
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_noted_once_saves_and_ends_the_run(tmp_path, sigint):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with pytest.raises(KeyboardInterrupt), run:
        signal.raise_signal(sigint)
        assert run.interrupted
        play(run, carry)
    assert weight(tmp_path) == 10 and (tmp_path / "learning_curve.png").exists()
    with pytest.raises(KeyboardInterrupt):  # outside, Ctrl-C is itself again
        signal.raise_signal(sigint)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_schedulers_stop_a_run_like_ctrl_c(tmp_path, number, capsys):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as exit, run:
        signal.raise_signal(number)
        assert run.interrupted
        play(run, carry)
    assert exit.value.code == 128 + number and weight(tmp_path) == 10
    assert capsys.readouterr().err.endswith(f"stopped by {number.name}\n") and signal.getsignal(number) == before


def test_under_nohup_a_hangup_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = new_run(tmp_path)
        run.begin(model=model_of(0), step=0)
        with run:
            signal.raise_signal(signal.SIGHUP)
            assert not run.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("error", "caught"),
    [
        (OSError(28, "No space left on device"), UsageError),
        (FloatingPointError("table is not finite"), FloatingPointError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["disk", "nan", "ctrl-c"],
)
@pytest.mark.parametrize("there", ["", "runs", "runs/a_recipe", "runs/a_recipe/now"])
def test_a_start_that_fails_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch, error, caught, there):
    def fails(*args):
        raise error

    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    (tmp_path / there / "mine").write_text("x")
    before, folder = {path for path in tmp_path.rglob("*")}, tmp_path / "runs" / "a_recipe" / "now"
    with monkeypatch.context() as patch:
        patch.setattr("common.run.checkpoint.save", fails)
        with pytest.raises(caught):
            new_run(folder).begin(model=model_of(0), step=0)
    assert {path for path in tmp_path.rglob("*")} == before
    new_run(folder).begin(model=model_of(0), step=0)
    assert weight(folder) == 0


def test_a_folder_whose_name_is_too_long_is_refused_and_its_parents_go(tmp_path):
    with pytest.raises(UsageError, match="cannot be written: File name too long"):
        new_run(tmp_path / "runs" / ("x" * 300)).begin(model=model_of(0), step=0)
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_comes_second_removes_nothing_of_the_first(tmp_path, monkeypatch):
    """The other process makes the folder, and the whole run, between the look at the folder and the lock on it."""
    from common import run as module

    folder, original = tmp_path / "runs" / "now", module.hold

    def late(path):
        monkeypatch.setattr(module, "hold", original)
        finished(new_run(folder))
        return original(path)

    monkeypatch.setattr(module, "hold", late)
    with pytest.raises(UsageError, match="holds a run already"):
        new_run(folder).begin(model=model_of(5), step=0)
    assert weight(folder) == 0 and (folder / "config.json").exists()


def test_a_folder_has_one_writer(tmp_path):
    one, other = new_run(tmp_path), new_run(tmp_path)
    one.begin(model=model_of(1), step=0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for second in (other, new_run(tmp_path, resume=True)):
        with pytest.raises(UsageError, match=f"is in use by process {os.getpid()}"):
            second.begin(model=model_of(2), step=0)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with one:
        pass
    with pytest.raises(UsageError, match="holds a run already"):  # it came second, and found a run that is over
        other.begin(model=model_of(2), step=0)
    assert weight(tmp_path) == 1


def test_ctrl_c_twice_acts_at_once(tmp_path, sigint):
    run = new_run(tmp_path)
    carry = run.begin(model=model_of(0), step=0)
    with pytest.raises(KeyboardInterrupt), run:
        play(run, carry)
        signal.raise_signal(sigint)
        signal.raise_signal(sigint)
        raise AssertionError("the second one was to end it")
    assert weight(tmp_path) == 0  # what was saved last
