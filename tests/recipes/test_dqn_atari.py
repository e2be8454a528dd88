"""The DQN recipe: its targets by hand, its clocks, its seeds, its learning, and what it leaves on disk."""

import inspect
import json
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from common import checkpoint, machine, run
from common.cli import UsageError
from common.files import read_episodes
from common.lazy import keras, tf
from envs.atari import make_atari
from recipes import dqn_atari, rainbow_atari
from recipes.dqn_atari import (
    build_optimizer,
    build_q_network,
    epsilon_at,
    make_act,
    make_update,
    td_target,
    train,
)  # fmt: skip

PIXELS = "probes/PixelChoice-v0"
# Half a minute on two cores; the same settings learn nothing at learning rate 0.
QUICK = {
    "env_id": PIXELS, "num_envs": 8, "buffer_size": 2000, "learning_starts": 200, "epsilon_decay_steps": 400,
    "learning_rate": 3e-4, "target_interval": 20, "eval_interval": 0, "eval_episodes": 20, "eval_epsilon": 0.0,
}  # fmt: skip


def test_target_by_hand():
    # The online network would say [1, 2] for the next state; the target network's [5, 3] is what counts.
    target = td_target(tf.constant([1.0, 1.0]), tf.constant([0.99, 0.0]), tf.constant([[5.0, 3.0], [5.0, 3.0]]))
    np.testing.assert_allclose(target, [5.95, 1.0], rtol=1e-6)  # 1 + 0.99 * 5; terminated: the reward alone


def test_a_wrong_shape_is_refused_instead_of_broadcast():
    with pytest.raises(AssertionError):
        td_target(tf.ones((2, 1)), tf.ones(2), tf.ones((2, 3)))


def linear(weights):
    """q = obs @ weights, for obs [B, 2] and two actions."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.array(weights, np.float32)])
    return model


def test_update_by_hand_with_another_target_network():
    # q(s) = s @ W with W = identity; two rows: s = (1, 0) action 0, s = (0, 2) action 1.
    # Target network: W' = 2 * identity, next states (1, 0) and (0, 1): best next q is 2 for both.
    # y = (0.5 + 0.9 * 2, 1 + 0 * 2) = (2.3, 1); q(s, a) = (1, 2); errors y - q = (1.3, -1).
    # loss = ((1.3 - 0.5) + 0.5) / 2 = 0.65; dloss/dq = -(clip(1.3), -1) / 2 = (-0.5, 0.5)
    # dloss/dW[0, 0] = -0.5 * 1; dloss/dW[1, 1] = 0.5 * 2; plain gradient descent with rate 0.1.
    model, target = linear(np.eye(2)), linear(2 * np.eye(2))
    update = make_update(model, target, keras.optimizers.SGD(0.1))
    obs, next_obs = np.array([[1, 0], [0, 2]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    reward, discount = np.array([0.5, 1], np.float32), np.array([0.9, 0], np.float32)
    loss = update(obs, np.array([0, 1], np.int32), reward, discount, next_obs)
    np.testing.assert_allclose(loss, 0.65, rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[0], [[1.05, 0], [0, 0.9]], rtol=1e-6)
    np.testing.assert_array_equal(target.get_weights()[0], 2 * np.eye(2))


def batch(seed, rows=4):
    rng = np.random.default_rng(seed)
    frames = lambda: rng.integers(0, 256, (rows, 4, 84, 84), dtype=np.uint8)  # noqa: E731
    return (
        frames(),
        rng.integers(0, 3, rows).astype(np.int32),
        rng.random(rows, np.float32),
        np.full(rows, 0.9, np.float32),
        frames(),
    )


@pytest.mark.parametrize("network", [dqn_atari.build_q_network, partial(rainbow_atari.build_q_network, sigma=0.5)])
def test_bfloat16_is_for_the_trunk_and_the_weights_are_float32_in_both(network):
    keras.utils.set_random_seed(0)
    exact, coarse = network((4, 36, 36), 3), network((4, 36, 36), 3, dtype="mixed_bfloat16")
    rng = np.random.default_rng(0)
    some = [w if w.any() else rng.normal(0, 0.05, w.shape) for w in exact.get_weights()]  # Rainbow's head starts at 0
    exact.set_weights(some), coarse.set_weights(some)
    obs = rng.integers(0, 256, (5, 4, 36, 36), dtype=np.uint8)
    (q, *_), (other, *_) = ([*model(obs)] if len(model.outputs) > 1 else [model(obs)] for model in (exact, coarse))
    assert q.dtype == other.dtype == "float32" and {w.dtype for w in coarse.weights} == {"float32"}
    np.testing.assert_allclose(q, other, atol=0.02 * np.ptp(q))
    assert not np.array_equal(q, other)
    layers = [(layer.name.split("_")[0], layer.compute_dtype) for layer in coarse.layers if layer.weights]
    assert {dtype for name, dtype in layers if name in ("conv2d", "dense")} == {"bfloat16"}
    assert {dtype for name, dtype in layers if name not in ("conv2d", "dense")} == {"float32"}


@pytest.mark.parametrize("recipe", [dqn_atari, rainbow_atari])
def test_bfloat16_is_refused_where_the_machine_has_none(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="^--precision=bfloat16: this machine"):
        recipe.train(precision="bfloat16", logdir=str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_one_trace_each_and_a_falling_loss():
    keras.utils.set_random_seed(0)
    model, target = build_q_network((4, 84, 84), 3), build_q_network((4, 84, 84), 3)
    update, act = make_update(model, target, build_optimizer("adam", 1e-4)), make_act(model)
    losses = [float(update(*batch(0))) for _ in range(20)]
    update(*batch(1))
    assert losses[-1] < 0.5 * losses[0]
    greedy, best = act(batch(0)[0])
    act(batch(1)[0])
    assert update.experimental_get_tracing_count() == act.experimental_get_tracing_count() == 1
    q = model(batch(0)[0]).numpy()
    np.testing.assert_array_equal(greedy, q.argmax(1))
    np.testing.assert_allclose(best, q.max(1), rtol=1e-5)


def test_rmsprop_is_the_texts():
    settings = build_optimizer("rmsprop", 2.5e-4).get_config()
    assert (settings["momentum"], settings["epsilon"], settings["rho"], settings["centered"]) == (
        0.95,
        0.01,
        0.9,
        False,
    )


def test_epsilon_by_hand():
    assert [epsilon_at(step, 100, 200, 0.1) for step in (0, 100, 200, 300, 999)] == pytest.approx(
        [1, 1, 0.55, 0.1, 0.1]
    )


@pytest.fixture
def counted(monkeypatch):
    """Count updates and, after which update each, copies into the target network."""
    events = {"updates": 0, "copies": []}
    original = dqn_atari.make_update

    def make(model, target_model, opt):
        update, set_weights = original(model, target_model, opt), target_model.set_weights

        def counting_update(*rows):
            events["updates"] += 1
            return update(*rows)

        def counting_copy(weights):
            events["copies"].append(events["updates"])
            set_weights(weights)

        target_model.set_weights = counting_copy
        return counting_update

    monkeypatch.setattr(dqn_atari, "make_update", make)
    return events


@pytest.mark.parametrize("num_envs", [1, 8])
def test_the_cadence_of_updates_and_copies(tmp_path, counted, num_envs):
    changes = {"num_envs": num_envs, "learning_starts": 80, "target_interval": 7, "eval_episodes": 0}
    train(**{**QUICK, **changes}, episodes=24, logdir=str(tmp_path / "run"))
    games, steps = read_episodes(tmp_path / "run")["episode"][-1], read_episodes(tmp_path / "run")["step"][-1]
    assert steps == 4 * games  # a game has four steps; the fifth only resets, and is not counted
    # One update at each multiple of 4 steps after 80 are remembered, of which every fifth only reset: after 64.
    assert counted["updates"] == steps // 4 - 64 // 4 > 7
    assert counted["copies"] == list(range(7, counted["updates"] + 1, 7))


def rows_without_time(folder):
    return [line.split(",")[:2] + line.split(",")[3:] for line in (folder / "episodes.csv").read_text().splitlines()]


def weights(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


@pytest.mark.slow
def test_one_seed_repeats_bit_for_bit_and_another_differs(tmp_path):
    short = {**QUICK, "episodes": 80, "eval_episodes": 0}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(**short, seed=seed, logdir=str(tmp_path / name))
    a, b, c = (tmp_path / name for name in "abc")
    assert rows_without_time(a) == rows_without_time(b) != rows_without_time(c)
    for x, y, z in zip(weights(a), weights(b), weights(c), strict=True):
        np.testing.assert_array_equal(x, y)
        assert z.ndim == 1 or (x != z).any()


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [3e-4, 1e-30])
def test_it_learns_from_pixels_and_its_twin_without_learning_does_not(tmp_path, learning_rate):
    settings = {**QUICK, "learning_rate": learning_rate, "episodes": 240}
    train(**settings, seed=11, logdir=str(tmp_path / "run"))
    score = np.mean(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"])
    solved = score >= 3.9  # a perfect player scores 4, a blind one 2
    assert solved == (learning_rate > 1e-9), score


@pytest.mark.slow
def test_learning_on_the_next_state_as_the_text_does_fails(tmp_path, monkeypatch):
    """The text trains q(s', a) on the target of (s, a): the screen that decided the reward is never seen."""
    original = dqn_atari.make_update

    def as_printed(model, target_model, opt):
        update = original(model, target_model, opt)
        return lambda obs, action, reward, discount, next_obs: update(next_obs, action, reward, discount, next_obs)

    monkeypatch.setattr(dqn_atari, "make_update", as_printed)
    train(**QUICK, episodes=240, seed=11, logdir=str(tmp_path / "run"))
    assert np.mean(json.loads((tmp_path / "run" / "evaluation.json").read_text())["scores"]) < 3


@pytest.mark.slow
def test_the_folder_of_a_run_and_its_continuation(tmp_path, run_recipe):
    """In subprocesses, from another folder: train, load the model elsewhere, continue, be refused."""
    flags = [f"--{name}={value}" for name, value in {**QUICK, "eval_episodes": 3}.items()]
    done = run_recipe(
        "dqn_atari", *flags, "--episodes=60", "--logdir=run", "--screenshots", "--save_memory", "--save_interval=100"
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert f"{PIXELS}, step " in done.stdout and "run/model.keras" in done.stdout
    assert done.stderr == "playing 3 games, greedy\n"  # no bar where no terminal is, no chatter
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert names == {
        "config",
        "episodes",
        "model",
        "learning_curve",
        "events",
        "checkpoint",
        "evaluation",
        "evaluations",
        "best",
        "screenshots",
    }
    games = len(read_episodes(run)["episode"])
    assert 60 <= games < 68  # of eight side by side, those that end with the last one count, too
    pictures = sorted(path.name for path in (run / "screenshots").iterdir())
    assert pictures == [f"game_{number:05d}.png" for number in range(1, games + 1)]
    assert len(list((run / "checkpoint").iterdir())) == 2
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"] == "dqn_atari" and config["arguments"]["save_interval"] == 100
    assert config["arguments"].keys() == inspect.signature(train).parameters.keys()

    # The model loads where this repository is not, and says the same.
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 84, 84), dtype=np.uint8)
    np.save(tmp_path / "obs.npy", obs)
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
np.save("q.npy", keras.models.load_model("run/model.keras")(np.load("obs.npy")))
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "q.npy"), keras.models.load_model(run / "model.keras")(obs), rtol=1e-5, atol=1e-6
    )

    before = read_episodes(run)
    done = run_recipe("dqn_atari", "--logdir=run", "--resume", "--episodes=90")
    assert done.returncode == 0, done.stderr
    after = read_episodes(run)
    assert 90 <= len(after["episode"]) < 98
    assert (np.diff(after["episode"]) == 1).all() and (np.diff(after["step"]) >= 0).all()
    np.testing.assert_array_equal(after["episode_return"][:games], before["episode_return"])
    assert after["seconds"][games] > before["seconds"][-1] and (after["episode_length"] == 4).all()

    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for refused in (
        ["--logdir=run", "--episodes=5"],
        ["--logdir=run", "--resume", "--gamma=0.5"],
        ["--logdir=obs.npy/run"],
    ):
        done = run_recipe("dqn_atari", *refused)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    newest = sorted((run / "checkpoint").iterdir())[-1] / "state.json"
    newest.write_text(newest.read_text()[:50])
    done = run_recipe("dqn_atari", "--logdir=run", "--resume", "--episodes=99")
    assert done.returncode == 2 and "state.json is not as it was written" in done.stderr
    files[newest] = newest.read_bytes()
    assert files == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_evaluation_keeps_the_arguments_of_the_environment_but_counts_no_lost_lives(tmp_path, monkeypatch):
    made = []

    def spy(env_id, num_envs, env_kwargs, life_loss):
        made.append((num_envs, env_kwargs, life_loss))
        return make_atari(env_id, num_envs, {**env_kwargs, "max_frames": 80}, life_loss=life_loss)

    monkeypatch.setattr(dqn_atari, "make_atari", spy)
    settings = {"num_envs": 2, "buffer_size": 100, "learning_starts": 50, "episodes": 2, "eval_episodes": 3}
    world = {"noop_max": 7, "sticky_actions": 0.1, "env_kwargs": {"img_height": 60, "img_width": 60}}
    dqn_atari.train(logdir=str(tmp_path / "run"), **settings, **world)
    kept = {"noop_max": 7, "sticky_actions": 0.1, "img_height": 60, "img_width": 60}
    assert made == [(2, kept, True), (3, kept, False)]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--episode=3", "did you mean --episodes?"),
        ("--episodes=0", "--episodes=0"),
        ("--episodes=many", "a whole number is wanted"),
        ("--learning_rate=-1", "--learning_rate=-1"),
        ("--batch_size=200000", "--batch_size=200000: it must be 1 to 65536"),
        ("--num_envs=1e300", "--num_envs=1e300: it must be"),
        ("--noop_max=1e12", "out of range"),
        ("--eval_episodes=1e9", "at most 65536"),
        ('--env_kwargs={"mode": 0}', "mode"),
        ('--env_kwargs={"grayscale": false}', "grayscale cannot be chosen"),
        ('--env_kwargs={"img_height": 20}', "images are wanted"),
        ("--learning_starts=200000", "--learning_starts=200000 is larger"),
        ("--buffer_size=32", "--learning_starts=10000 is larger than --buffer_size=32"),
        ("--env_id=ALE/Pog-v5", "ALE/Pong-v5"),
        ("--env_id=Pendulum-v1", "discrete ones are wanted"),
        ("--env_id=CartPole-v1", "images are wanted"),
        ("--optimizer=sgd", "adam, rmsprop"),
        ("--resume", "--logdir"),
        ("--seed=2147483648", "0 to 1073741824"),
        ("--buffer_size=1e12", "allocate"),
        ("--logdir", "--logdir needs a value"),
        ("200", "--name=value"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path, run_recipe, no_tensorflow, flag, said):
    done = run_recipe("dqn_atari", flag, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["--episodes=3", "--help"], ["--nonsense=3", "-h"]])
def test_help_lists_every_flag_and_runs_nothing(tmp_path, run_recipe, no_tensorflow, words):
    done = run_recipe("dqn_atari", *words, PYTHONPATH=no_tensorflow)
    assert done.returncode == 0 and list(tmp_path.iterdir()) == []
    for flag in (
        "--env_id",
        "--episodes",
        "--seed",
        "--logdir",
        "--resume",
        "--target_interval",
        "--epsilon_decay_steps",
    ):
        assert flag in done.stderr + done.stdout


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(tmp_path, run_recipe):
    settings = {**QUICK, "learning_rate": 1e30, "save_interval": 100}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    done = run_recipe("dqn_atari", *flags, "--episodes=400", "--logdir=run")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("dqn_atari.py: the loss is ") and "at step " in last
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.set_weights([w * np.nan for w in model.get_weights()])
    twins = {
        "model": model,
        "target_model": build_q_network((4, 84, 84), 2),
        "optimizer": build_optimizer("adam", 1e30),
    }
    twins["optimizer"].build(model.trainable_variables)
    state, _ = checkpoint.restore(tmp_path / "run" / "checkpoint", {"recipe": "dqn_atari", "env_id": PIXELS}, twins)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert state["step"] >= 100  # saved at the first crossing of save_interval or later


@pytest.mark.slow
def test_a_run_resumes_with_everything_the_loop_had(tmp_path, monkeypatch):
    """What goes into the last save comes out of it, all of it, and into use; the games in progress begin anew."""
    quick = {**QUICK, "save_memory": True, "eval_episodes": 0, "logdir": str(tmp_path / "run")}
    saves, restores = [], []
    save, take = run.checkpoint.save, run.checkpoint.Carry.take

    def saving(folder, step, identity, tensors, state, arrays, networks):
        weights = {name: [v.numpy() for v in tensor.variables] for name, tensor in tensors.items()}
        saves.append((weights, json.loads(json.dumps(state)), {name: array.copy() for name, array in arrays.items()}))
        save(folder, step, identity, tensors, state, arrays, networks)

    def taking(self, state, arrays):
        take(self, state, arrays)
        tensors, again, arrays = self.parts()
        restores.append(({name: [v.numpy() for v in t.variables] for name, t in tensors.items()}, again, arrays))

    monkeypatch.setattr(run.checkpoint, "save", saving)
    monkeypatch.setattr(run.checkpoint.Carry, "take", taking)
    train(**quick, episodes=88)
    weights, state, arrays = saves[-1]
    assert any((x != y).any() for x, y in zip(weights["model"], weights["target_model"], strict=True))  # it lags behind
    assert int(weights["optimizer"][0]) == state["updates"] > 20 and "memory.frames" in arrays
    first = len(saves)
    train(**quick, episodes=96, resume=True)
    (back, state_back, arrays_back) = restores[0]
    for name in weights:
        for x, y in zip(weights[name], back[name], strict=True):
            np.testing.assert_array_equal(x, y)
    assert {name: state[name] for name in state_back} == json.loads(json.dumps(state_back))
    assert arrays.keys() == arrays_back.keys()
    _, later, memory = saves[-1]
    assert len(saves) > first and later["updates"] > state["updates"]
    assert later["step"] == state["step"] + 4 * 8  # new games, each counted from its beginning
    grown = memory["memory.cursor"][1] - arrays["memory.cursor"][1]
    assert grown == 4  # it went on in the old memory
    np.testing.assert_array_equal(memory["memory.frames"][:-grown], arrays["memory.frames"])
    assert (read_episodes(tmp_path / "run")["episode_length"] == 4).all()


@pytest.mark.slow
def test_a_run_killed_at_once_can_be_resumed(tmp_path, run_recipe):
    command = [sys.executable, dqn_atari.__file__, *(f"--{n}={v}" for n, v in QUICK.items()), "--episodes=50"]
    process = subprocess.Popen([*command, "--logdir=run"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "run" / "model.keras")
    process.kill()
    process.wait()
    done = run_recipe("dqn_atari", "--logdir=run", "--resume")
    assert done.returncode == 0, done.stderr
    assert 50 <= len(read_episodes(tmp_path / "run")["episode"]) < 58


def wait_for(path, lines=0):
    """Until a file is there, with more than so many lines."""
    deadline = time.monotonic() + 120
    while not (path.exists() and path.read_bytes().count(b"\n") > lines):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_saves_and_exits_130(tmp_path):
    command = [
        sys.executable,
        dqn_atari.__file__,
        *(f"--{n}={v}" for n, v in QUICK.items()),
        "--episodes=100000",
        "--logdir=run",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "episodes.csv", lines=5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err and err.strip().endswith("interrupted")
    names = {path.name.split(".")[0] for path in (tmp_path / "run").iterdir()}
    assert {"model", "learning_curve", "checkpoint"} <= names


def test_settings_that_contradict_each_other_are_refused_in_python_too(tmp_path):
    with pytest.raises(UsageError, match="too small"):
        train(env_id=PIXELS, buffer_size=40, learning_starts=8, num_envs=8, logdir=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
