"""Worlds of the user's own: the page about them works as printed, and each kind is served rightly or refused."""

import copy
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from common.evaluation import evaluate, make_greedy
from common.files import read_csv, read_episodes
from common.lazy import keras
from envs.checked import make_vec
from recipes import (
    dqn_atari,
    export,
    monte_carlo_blackjack,
    play,
    q_learning_cliffwalking,
    q_table_frozenlake,
    reinforce_cartpole,
)  # fmt: skip

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "book" / "own_world.md").read_text()
WORLDS, BOAT, FRAMES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def words(command):
    """A printed command as this Python and this checkout run it."""
    python, program, *flags = shlex.split(command)
    assert python == "python"
    return [sys.executable, str(ROOT / program) if program.startswith("recipes/") else program, *flags]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory that holds the modules of the page."""
    (tmp_path / "corridor.py").write_text(WORLDS)
    (tmp_path / "boat.py").write_text(BOAT)
    (tmp_path / "frames.py").write_text(FRAMES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_in_order(commands, folder):
    """Type the commands one after the other."""
    for command in commands:
        done = subprocess.run(words(command), cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_every_command_of_the_page_works_in_its_order(folder):
    commands = [command for command in COMMANDS if "boat" not in command]
    assert len(commands) == 13
    run_in_order(commands, folder)
    for made in (
        "corridor/play.mp4",
        "corridor/policy",
        "long/model.keras",
        "frames/play.gif",
        "frames/policy",
        "grid/policy.png",
    ):
        assert (folder / "runs" / made).exists()
    assert read_episodes(folder / "runs" / "corridor")["episode_return"][-100:].mean() > 0.6  # random play: below -3


@pytest.mark.slow
def test_every_command_about_the_boat_works_in_its_order(folder):
    commands = [command for command in COMMANDS if "boat" in command]
    assert len(commands) == 5
    run_in_order(commands, folder)
    assert all((folder / "runs" / "boat" / made).exists() for made in ("play.mp4", "policy"))
    assert read_csv(folder / "runs" / "boat" / "evaluations.csv")["mean"][-1] > -15  # no thrust: -37, random play: -48
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32)
    output = keras.models.load_model(folder / "runs" / "boat" / "model.keras")(obs)
    greedy = np.array(output[0] if isinstance(output, list) else output)
    (action,) = export.run_saved_model(folder / "runs" / "boat" / "policy")(obs)
    np.testing.assert_allclose(action, np.clip(greedy, [0, -0.5], [1, 0.5]), atol=1e-5)
    assert (action.std(axis=0) > [0.1, 0.1]).all()  # both numbers answer to what is seen


def test_the_boat_earns_what_the_page_says(folder):
    envs = make_vec("boat:Boat-v0", 1000, "vectors", actions="continuous")
    envs.action_space.seed(0)

    def steer(obs):
        """Turn to the buoy, go ahead once it is in front, and stop there."""
        x, y, cosine, sine = obs.T
        turn = (np.arctan2(-y, -x) - np.arctan2(sine, cosine) + np.pi) % (2 * np.pi) - np.pi
        thrust = np.where(abs(turn) < 0.5, np.hypot(x, y) / 0.1, 0)
        return np.stack([thrust, turn], axis=1)  # the door clips it

    for act, wanted in (
        (lambda obs: np.zeros((1000, 2), np.float32), -37),
        (lambda obs: envs.action_space.sample(), -48),
        (steer, -5),
    ):
        assert abs(evaluate(envs, act, seed=0).returns.mean() - wanted) < 1.5  # three standard errors or more


@pytest.mark.slow
def test_a_killed_run_continues_and_is_the_run_that_was_not_killed(folder):
    command = words("python recipes/reinforce_cartpole.py --env_id=corridor:Corridor-v0 --episodes=960 --solved_at=9")
    command += ["--save_interval=500", "--eval_episodes=0"]
    subprocess.run([*command, "--logdir=whole"], cwd=folder, check=True, capture_output=True)
    process = subprocess.Popen([*command, "--logdir=killed"], cwd=folder, stdout=subprocess.PIPE)
    while not (saved := list((folder / "killed" / "checkpoint").glob("0*[1-9]*"))) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert saved
    subprocess.run([*command, "--logdir=killed", "--resume"], cwd=folder, check=True, capture_output=True)
    whole, killed = (read_episodes(folder / name) for name in ("whole", "killed"))
    np.testing.assert_array_equal(whole["episode_return"], killed["episode_return"])
    assert len(whole["episode"]) == 960


def refused(program, *flags, cwd):
    """The one line with which a command is refused."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "recipes" / program), *flags], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_only_the_module_that_was_typed_is_imported(folder):
    reinforce_cartpole.train("corridor:Corridor-v0", episodes=16, logdir="run", eval_episodes=0)
    (folder / "corridor.py").write_text("print('imported')\n" + WORLDS)
    before = sorted(path.stat().st_mtime_ns for path in (folder / "run").rglob("*"))
    for program, *flags in (
        ("play.py", "--run=run"),
        ("play.py", "--model=run/model.keras"),
        ("export.py", "--run=run"),
        ("reinforce_cartpole.py", "--logdir=run", "--resume"),
    ):
        assert "add --env_id=corridor:Corridor-v0" in refused(program, *flags, cwd=folder)
    assert before == sorted(path.stat().st_mtime_ns for path in (folder / "run").rglob("*"))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("", "unknown environment broken:World-v0"),
        (
            "import nothing_of_this_name",
            "ModuleNotFoundError: No module named 'nothing_of_this_name' (broken.py, line 1)",
        ),
        ("1 / 0", "ZeroDivisionError: division by zero (broken.py, line 1)"),
        ("raise SystemExit(0)", "broken cannot be imported: SystemExit"),
        ("def x(:", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(module, said, tmp_path):
    (tmp_path / "broken.py").write_text(module)
    assert said in refused("reinforce_cartpole.py", "--env_id=broken:World-v0", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["broken.py"]


def test_a_world_with_other_actions_is_one_line_that_tells_who_takes_them(folder):
    said = refused("reinforce_cartpole.py", "--env_id=boat:Boat-v0", cwd=folder)
    assert "boat:Boat-v0 has the actions Box([ 0. -0.5], [1. 0.5], (2,), float32); discrete ones are wanted" in said
    assert said.endswith("DiscretizeAction or TransformAction makes them; the recipes *_pendulum take these\n")
    (folder / "boat.py").write_text(
        BOAT.replace("np.array([1, 0.5], np.float32)", "np.array([np.inf, 0.5], np.float32)")
    )
    for program in ("play.py", "export.py"):
        said = refused(program, "--model=any.keras", "--env_id=boat:Boat-v0", cwd=folder)
        assert "discrete ones or vectors of floats with finite, different bounds are wanted" in said


class Strange(gym.Env):
    """Four steps, in which the highest action brings 1; what it shows and takes is given."""

    def __init__(self, observation_space, action_space=None):
        self.observation_space, self.action_space = observation_space, action_space or gym.spaces.Discrete(3, start=2)
        self.observation_space = copy.deepcopy(self.observation_space)  # with a generator of its own
        self.observe = self.observation_space.sample

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:  # None would seed it from the operating system at every game
            self.observation_space.seed(seed)
        self.t = 0
        return self.observe(), {"lives": 3}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return self.observe(), float(action == self.action_space.start + 2), self.t == 4, False, {"lives": 3}


Box, Discrete = gym.spaces.Box, gym.spaces.Discrete
SPACES = {
    "FloatVector": Box(-1, 1, (3,), np.float64),
    "ByteVector": Box(0, 3, (3,), np.uint8),
    "Number": Discrete(5),
    "LateNumber": Discrete(5, start=1),
    "Dict": gym.spaces.Dict(a=Box(0, 1, (2,)), b=Discrete(2)),
    "Tuple": gym.spaces.Tuple([Discrete(3), Discrete(2)]),
    "LateTuple": gym.spaces.Tuple([Discrete(3), Discrete(2, start=1)]),
    "MixedTuple": gym.spaces.Tuple([Discrete(3), Box(0, 1, (2,))]),
    "NestedTuple": gym.spaces.Tuple([Discrete(3), gym.spaces.Tuple([Discrete(2)])]),
    "EmptyTuple": gym.spaces.Tuple([]),
    "HugeTuple": gym.spaces.Tuple([Discrete(2**40)] * 3),
    "HugeNumber": Discrete(2**40),
    "MultiBinary": gym.spaces.MultiBinary(4),
    "Text": gym.spaces.Text(5),
    "RGBFirst": Box(0, 255, (3, 84, 84), np.uint8),
    "RGBLast": Box(0, 255, (84, 84, 3), np.uint8),
    "Gray": Box(0, 255, (84, 84), np.uint8),
    "GrayLast": Box(0, 255, (84, 84, 1), np.uint8),
    "FloatFrames": Box(0, 1, (4, 84, 84), np.float32),
    "BoolFrames": Box(0, 1, (4, 84, 84), bool),
    "MinAtar": Box(0, 1, (10, 10, 4), bool),
    "Small": Box(0, 255, (4, 20, 20), np.uint8),
    "RGBStack": Box(0, 255, (4, 84, 84, 3), np.uint8),
}
for _name, _space in SPACES.items():
    gym.register(f"strange/{_name}-v0", entry_point=Strange, kwargs={"observation_space": _space})
for _name, _actions in {"Box": Box(-1, 1, (2,)), "Multi": gym.spaces.MultiDiscrete([2, 2])}.items():
    kwargs = {"observation_space": SPACES["FloatVector"], "action_space": _actions}
    gym.register(f"strange/{_name}Actions-v0", entry_point=Strange, kwargs=kwargs)


@pytest.mark.parametrize(
    ("recipe", "world", "helps"),
    [
        (reinforce_cartpole, "Number", "FlattenObservation"),
        (reinforce_cartpole, "Dict", "FlattenObservation"),
        (reinforce_cartpole, "Tuple", "FlattenObservation"),
        (reinforce_cartpole, "MultiBinary", "FlattenObservation"),
        (reinforce_cartpole, "MinAtar", "FlattenObservation"),
        (reinforce_cartpole, "RGBLast", "FlattenObservation"),
        (reinforce_cartpole, "BoxActions", "DiscretizeAction"),
        (reinforce_cartpole, "MultiActions", "TransformAction"),
        (q_table_frozenlake, "FloatVector", "DiscretizeObservation"),
        (q_table_frozenlake, "LateNumber", "TransformObservation"),
        (q_table_frozenlake, "LateTuple", "TransformObservation"),
        (q_table_frozenlake, "MixedTuple", "TransformObservation"),
        (q_table_frozenlake, "NestedTuple", "TransformObservation"),
        (q_table_frozenlake, "EmptyTuple", "TransformObservation"),
        (q_table_frozenlake, "HugeTuple", "at most 10,000,000 states"),
        (q_table_frozenlake, "HugeNumber", "at most 10,000,000 states"),
        (dqn_atari, "RGBFirst", "FrameStackObservation"),
        (dqn_atari, "RGBLast", "GrayscaleObservation, then FrameStackObservation"),
        (dqn_atari, "Gray", "has FrameStackObservation"),
        (dqn_atari, "GrayLast", "TransformObservation to .*, then FrameStackObservation"),
        (dqn_atari, "FloatFrames", "has TransformObservation to bytes"),
        (dqn_atari, "BoolFrames", "has TransformObservation to bytes"),
        (dqn_atari, "MinAtar", "ResizeObservation"),
        (dqn_atari, "Small", "has ResizeObservation"),
        (dqn_atari, "RGBStack", "GrayscaleObservation"),
        (dqn_atari, "Dict", "images are wanted"),
        (dqn_atari, "Text", "images are wanted"),
        (dqn_atari, "FloatVector", "images are wanted"),
    ],
)
def test_what_a_recipe_cannot_serve_is_refused_and_the_wrapper_named(recipe, world, helps, tmp_path):
    with pytest.raises(gym.error.Error, match=helps):
        recipe.train(f"strange/{world}-v0", logdir=str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("world", ["FloatVector", "ByteVector"])
def test_numbers_of_any_type_and_actions_from_any_start_are_served(world, tmp_path, capsys):
    run = reinforce_cartpole.train(
        f"strange/{world}-v0", episodes=800, solved_at=3.9, logdir=str(tmp_path / "run"), learning_rate=0.03
    )  # `Strange` asserts that it is given 2, 3 or 4
    assert read_episodes(run)["episode_return"][-100:].mean() > 3  # random play: 4/3
    assert play.play(run=str(run), episodes=3).returns.shape == (3,)
    path = export.export(run=str(run))
    obs = np.stack([SPACES[world].sample() for _ in range(20)])
    greedy = make_greedy(keras.models.load_model(run / "model.keras"))(obs)
    assert export.run_saved_model(path)(obs.astype(np.float32))[0].tolist() == (greedy + 2).tolist()


@pytest.mark.slow
def test_a_table_of_any_world_with_numbered_states(tmp_path):
    run = q_table_frozenlake.train("strange/Number-v0", episodes=300, logdir=str(tmp_path / "run"))
    assert read_episodes(run)["episode_return"][-100:].mean() > 3  # random play: 4/3
    assert not (run / "policy.png").exists()  # there is no map to draw


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [q_table_frozenlake, q_learning_cliffwalking, monte_carlo_blackjack])
def test_a_table_of_a_world_that_shows_tuples_of_numbers(recipe, tmp_path):
    # No action leads anywhere here, so what comes later is noise to a table that learns step by step.
    flags = {"num_envs": 20} if recipe is monte_carlo_blackjack else {"gamma": 0.0}
    run = recipe.train("strange/Tuple-v0", episodes=300, logdir=str(tmp_path / "run"), **flags)
    model = keras.models.load_model(run / "model.keras")
    assert model.get_weights()[0].shape == (3 * 2, 3)
    assert read_episodes(run)["episode_return"][-100:].mean() > 2.5  # random play: 4/3
    assert play.play(run=str(run), episodes=3).returns.tolist() == [4, 4, 4]  # the number is found by play, too
    path = export.export(run=str(run))
    assert export.run_saved_model(path)(np.arange(6))[0].tolist() == [4] * 6


@pytest.mark.slow
def test_a_worlds_own_exception_comes_last(tmp_path):
    closes = (
        "Corridor.left = getattr(Corridor, 'left', 400) - 1\n        assert Corridor.left, 'the corridor is closed'"
    )
    (tmp_path / "corridor.py").write_text(WORLDS.replace("self.cell = max(", closes + "\n        self.cell = max("))
    for recipe in ("reinforce_cartpole", "actor_critic_cartpole"):
        command = [sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), "--env_id=corridor:Corridor-v0"]
        done = subprocess.run([*command, f"--logdir={recipe}"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.rstrip().splitlines()[-1] == "AssertionError: the corridor is closed"
        assert "tensorflow.python.framework.errors" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_graph_whose_games_never_end(number, code, tmp_path):
    module = WORLDS.replace(", at_the_end, False, {}", ", False, False, {}").replace(", max_episode_steps=50", "")
    (tmp_path / "corridor.py").write_text(module)
    flags = ["--env_id=corridor:Corridor-v0", "--logdir=run"]
    command = [sys.executable, str(ROOT / "recipes" / "actor_critic_cartpole.py"), *flags]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline().startswith("run ")
    time.sleep(3)  # by now the graph plays
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == code and err.count("\n") == 1, err
