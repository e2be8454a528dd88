"""What every recipe promises alike: its folder, its model, its seed, its resumption, its answers to bad input."""

import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers the worlds
from common.cli import UsageError
from common.files import read_csv, read_episodes
from common.lazy import keras
from common.log import EpisodeLog

ROOT = Path(__file__).parent.parent.parent
# Arguments with which a complete run takes a second or two; `episodes` is halved, too.
EVALUATED = {"eval_interval": 150, "eval_episodes": 3}
GRID = {
    "episodes": 40, "num_envs": 4, "max_steps": 30, "learning_starts": 64, "batch_size": 16, "save_interval": 200,
    **EVALUATED,
}  # fmt: skip
DQN = {
    "episodes": 24, "num_envs": 4, "hidden_units": 8, "learning_starts": 64, "train_interval": 32, "minibatches": 4,
    "batch_size": 16, "target_interval": 8, "save_interval": 100, **EVALUATED,
}  # fmt: skip
PQN = {
    "episodes": 24, "num_envs": 4, "hidden_units": 8, "rollout_length": 8, "epochs": 2, "batch_size": 16,
    "save_interval": 100, **EVALUATED,
}  # fmt: skip
A2C = {
    "episodes": 24, "num_envs": 4, "hidden_units": 8, "rollout_length": 8, "save_interval": 100, **EVALUATED,
}  # fmt: skip
PPO = {**A2C, "epochs": 2, "batch_size": 16}
DDPG = {
    "episodes": 12, "num_envs": 4, "hidden_units": 8, "learning_starts": 64, "train_interval": 32, "minibatches": 4,
    "batch_size": 16, "save_interval": 300, **EVALUATED, "eval_interval": 500,
}  # fmt: skip
QUICK = {
    "hardcoded_cartpole": {"episodes": 12},
    "q_table_frozenlake": {"episodes": 60, "save_interval": 70, **EVALUATED},
    "q_network_frozenlake": {"episodes": 24, "num_envs": 4, "save_interval": 40, **EVALUATED, "eval_interval": 50},
    "value_iteration_frozenlake": {"episodes": 40, "save_interval": 200, **EVALUATED},
    "monte_carlo_blackjack": {"episodes": 400, "num_envs": 20, "save_interval": 70, **EVALUATED},
    "q_learning_cliffwalking": {"episodes": 24, "max_steps": 60, "save_interval": 50, **EVALUATED},
    "sarsa_cliffwalking": {"episodes": 24, "max_steps": 60, "save_interval": 50, **EVALUATED},
    "neural_evolutionary_agent": {
        "episodes": 80, "num_trajectory_rollouts": 20, "save_interval": 1, **EVALUATED, "eval_interval": 1500,
    },
    "actor_critic_cartpole": {"episodes": 24, "num_envs": 4, "save_interval": 150, **EVALUATED},
    "actor_critic_two_networks": {"episodes": 24, "num_envs": 4, "save_interval": 150, **EVALUATED},
    "nfq_gridworld": GRID,
    "dqn_gridworld": GRID,
    "reinforce_cartpole": {"episodes": 24, "num_envs": 4, "save_interval": 70, **EVALUATED},
    "reinforce_dropout_cartpole": {"episodes": 24, "num_envs": 4, "save_interval": 70, **EVALUATED},
    "dqn_cartpole": DQN,
    "double_dqn_cartpole": DQN,
    "dueling_dqn_cartpole": DQN,
    "prioritized_dqn_cartpole": DQN,
    "c51_cartpole": DQN,
    "qr_dqn_cartpole": DQN,
    "drqn_cartpole": {**DQN, "memory_units": 4, "burn_in": 1, "length": 2},
    "pqn_cartpole": PQN,
    "a2c_cartpole": A2C,
    "ppo_cartpole": PPO,
    "ppo_pendulum": {**PPO, "episodes": 12, "rollout_length": 48, "save_interval": 300, "eval_interval": 500},
    "masked_ppo_gridworld": PPO,
    "ddpg_pendulum": DDPG,
    "td3_pendulum": DDPG,
    "sac_pendulum": DDPG,
    "compiled_actor_critic_cartpole": A2C,
    "compiled_ppo_cartpole": PPO,
    "compiled_ppo_breakout": {**PPO, "filters": 2},
}  # fmt: skip
RECIPES = sorted(QUICK)
LEARNERS = sorted(name for name in RECIPES if name != "hardcoded_cartpole")
VECTORS = {"ppo_pendulum", "ddpg_pendulum", "td3_pendulum", "sac_pendulum"}  # their actions are vectors of numbers
TABLES = {  # they have no loss; recipe → the function whose result enters what it carries
    "q_table_frozenlake": "td_target",
    "q_learning_cliffwalking": "td_target",
    "sarsa_cliffwalking": "td_target",
    "monte_carlo_blackjack": "discounted_returns",
    "value_iteration_frozenlake": "action_values",
}


def test_every_recipe_is_held_to_the_contracts():
    names = {path.stem for path in (ROOT / "recipes").glob("*.py") if "\ndef train(" in path.read_text()}
    assert names == {
        *QUICK,
        "dqn_atari",
        "ppo_atari",
        "rainbow_atari",
    }  # which cannot restore their games, and have tests of their own


def run(name, folder, **changes):
    importlib.import_module(f"recipes.{name}").train(**{**QUICK[name], "logdir": str(folder), **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every recipe run by its command, from another folder; dict name → (CompletedProcess, its folder)."""
    here = tmp_path_factory.mktemp("elsewhere")
    done = {}
    for name in RECIPES:
        flags = [f"--{key}={value}" for key, value in QUICK[name].items()]
        command = [sys.executable, str(ROOT / "recipes" / f"{name}.py"), *flags, f"--logdir={name}"]
        done[name] = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=300), here / name
    return done


def rows_without_time(folder):
    return [line.split(",")[:2] + line.split(",")[3:] for line in (folder / "episodes.csv").read_text().splitlines()]


def weights(folder):
    return [w for path in sorted(folder.glob("*.keras")) for w in keras.models.load_model(path).get_weights()]


def evaluations(folder):
    """`evaluations.csv` without the column of seconds."""
    path = folder / "evaluations.csv"
    return {name: list(column) for name, column in read_csv(path).items() if name != "seconds"} if path.exists() else {}


def assert_same_run(a, b):
    """The same games, evaluations and networks, the best one included."""
    assert rows_without_time(a) == rows_without_time(b)
    assert evaluations(a) == evaluations(b)
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_one_seed_repeats_bit_for_bit_in_another_process_and_another_seed_differs(name, runs, tmp_path):
    _, whole = runs[name]
    run(name, tmp_path / "same")
    run(name, tmp_path / "other", seed=4)
    assert_same_run(whole, tmp_path / "same")
    assert rows_without_time(whole) != rows_without_time(tmp_path / "other")


class Killed(BaseException):
    """What no recipe can catch."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_was_killed_and_continued_is_the_run_that_was_not(name, runs, tmp_path, monkeypatch):
    _, whole = runs[name]
    total = len(read_episodes(whole)["episode"])
    moment = int(np.random.default_rng(RECIPES.index(name)).integers(1, total))
    original = EpisodeLog.add

    def dying(self, *args):
        original(self, *args)
        if self.episode == moment:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(EpisodeLog, "add", dying)
        with pytest.raises(Killed):
            run(name, tmp_path / "killed")
    run(name, tmp_path / "killed", resume=True)
    assert_same_run(whole, tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_is_prolonged_is_the_long_run(name, runs, tmp_path):
    _, whole = runs[name]
    run(name, tmp_path / "short", episodes=QUICK[name]["episodes"] // 2)
    assert len(read_episodes(tmp_path / "short")["episode"]) < len(read_episodes(whole)["episode"])
    run(name, tmp_path / "short", resume=True)
    assert rows_without_time(whole) == rows_without_time(tmp_path / "short")
    final = [keras.models.load_model(folder / "model.keras").get_weights() for folder in (whole, tmp_path / "short")]
    for x, y in zip(*final, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(name, runs, tmp_path, monkeypatch):
    recipe = importlib.import_module(f"recipes.{name}")
    maker = next((maker for maker in ("make_update", "make_train_step") if hasattr(recipe, maker)), None)
    if maker is None:
        monkeypatch.setattr(recipe, TABLES[name], lambda first, *others: np.full(np.shape(first), np.nan))
        with pytest.raises(FloatingPointError, match=r"\b[Qv] is not finite at step"):  # refused when it is saved
            run(name, tmp_path / "run")
        monkeypatch.undo()
        run(name, tmp_path / "run", resume=True)
        assert_same_run(runs[name][1], tmp_path / "run")
        return
    original = getattr(recipe, maker)

    def broken(*parts):
        step = original(*parts)

        def nan_step(*batch):
            result = step(*batch)
            result = tuple(result) if isinstance(result, tuple | list) else (result,)
            # The loss is a number; what is no number, such as the state of a world, stays.
            result = tuple(p if isinstance(p, tuple) or np.ndim(p) else np.float32(np.nan) for p in result)
            return result if len(result) > 1 else result[0]

        return nan_step

    monkeypatch.setattr(recipe, maker, broken)
    with pytest.raises(FloatingPointError, match="step"):
        run(name, tmp_path / "run")
    monkeypatch.undo()
    run(name, tmp_path / "run", resume=True)
    assert_same_run(runs[name][1], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_the_command_runs_from_another_folder_and_leaves_a_run(name, runs):
    process, folder = runs[name]
    assert process.returncode == 0, process.stderr
    said = process.stderr.splitlines()  # no bar where no terminal is, no chatter
    assert all(line.startswith("playing ") or ", step " in line for line in said), process.stderr
    assert f"{name}/model.keras" in process.stdout
    kinds = {path.name.split(".")[0] for path in folder.iterdir()}
    assert kinds >= {"config", "episodes", "model", "learning_curve", "events", "checkpoint", "evaluation"}
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"] == name
    train = importlib.import_module(f"recipes.{name}").train
    assert config["arguments"].keys() == inspect.signature(train).parameters.keys()
    assert config["arguments"].items() >= {**QUICK[name], "logdir": name, "seed": 0}.items()
    episodes = read_episodes(folder)
    assert (np.diff(episodes["episode"]) == 1).all() and (np.diff(episodes["step"]) >= 0).all()
    assert (episodes["step"] >= np.cumsum(episodes["episode_length"]) - 1e-9).all()
    if name in LEARNERS:
        assert {"evaluations", "best"} <= kinds
        table, interval = evaluations(folder), QUICK[name]["eval_interval"]
        reached = [step // interval for step in table["step"]]
        assert len(reached) >= 2 and (np.diff(reached[:-1]) >= 1).all()  # one for each multiple, and one at the end
        assert set(table["games"]) == {3} and table["step"][-1] >= episodes["step"][-1]


@pytest.mark.slow
def test_every_hint_of_a_finished_run_works_as_it_is_printed(tmp_path, run_recipe):
    """Also where the goal is reached, here with the first 100 games, and where the folder's name needs quotes."""
    folder = tmp_path / "my runs" / "it's one; $HOME"
    flags = ["--episodes=400", "--num_envs=8", "--solved_at=5", "--eval_episodes=0", f"--logdir={folder}"]
    done = run_recipe("reinforce_cartpole", *flags)
    assert done.returncode == 0, done.stderr
    hints = {line[:16].strip(): line[16:] for line in done.stdout.splitlines()}
    assert all(Path(hints[what]).is_file() for what in ("learning curve", "model", "event file"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def typed(command):
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    assert "episode_return" in typed(hints["to watch it"] + " --inspect")  # without a server, which would not end
    assert ", 100 games, greedy" in typed(hints["to play with it"]) and (folder / "play.mp4").is_file()
    before = len(read_episodes(folder)["episode"])
    assert before < 400
    typed(hints["to train on"])
    assert len(read_episodes(folder)["episode"]) >= 2 * before


def test_a_hint_that_would_do_nothing_is_not_printed(tmp_path, capsys):
    """A film of a world without pictures, more sweeps where the values no longer change, a rate that has reached 0."""
    run("reinforce_cartpole", tmp_path / "probe", env_id="probes/OneStep-v0", episodes=8)
    said = capsys.readouterr().out
    assert "to play with it" in said and "--video" not in said and "to train on" in said
    run("value_iteration_frozenlake", tmp_path / "solved", method="policy", episodes=1000)
    said = capsys.readouterr().out
    assert "--video" in said and "to train on" not in said
    run("dqn_cartpole", tmp_path / "decayed", steps=200, learning_rate_decay_steps=200)
    assert "to train on" not in capsys.readouterr().out


def observations(folder, count=5):
    """A few observations of the environment that the run was made in, as it gives them; [count, ...]."""
    config = json.loads((folder / "config.json").read_text())
    env = gym.make(config["arguments"]["env_id"], **config["env_kwargs"])
    obs = [env.reset(seed=0)[0]]
    env.action_space.seed(0)
    while len(obs) < count:
        next_obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        obs.append(env.reset()[0] if terminated or truncated else next_obs)
    if isinstance(env.observation_space, gym.spaces.Tuple):  # of numbers
        obs = np.ravel_multi_index(np.transpose(obs), [part.n for part in env.observation_space])
    space = env.action_space
    return np.array(obs), space.shape[0] if isinstance(space, gym.spaces.Box) else space.n


@pytest.mark.slow
def test_every_model_loads_where_this_repository_is_not_and_says_the_same(runs, tmp_path):
    wanted = {}
    for name, (_, folder) in runs.items():
        (obs, actions), model = observations(folder), keras.models.load_model(folder / "model.keras")
        inputs = [obs, *(np.zeros((len(obs), *state.shape[1:]), np.float32) for state in model.inputs[1:])]
        np.savez(tmp_path / f"{name}.npz", *inputs)
        outputs = model(inputs if len(inputs) > 1 else obs)
        wanted[name] = np.array(outputs[0] if isinstance(outputs, list | tuple) else outputs)
        assert wanted[name].shape == (len(obs), actions)
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
for name, path in zip(sys.argv[1::2], sys.argv[2::2]):
    inputs = list(np.load(name + ".npz").values())
    outputs = keras.models.load_model(path)(inputs if len(inputs) > 1 else inputs[0])
    np.save(name + "_out.npy", outputs[0] if isinstance(outputs, (list, tuple)) else outputs)
"""
    words = [word for name, (_, folder) in runs.items() for word in (name, str(folder / "model.keras"))]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, check=True, capture_output=True, env=environment)
    for name in runs:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}_out.npy"), wanted[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--episode=3", "did you mean --episodes?"),
        ("--episodes=0", "--episodes=0"),
        ("--env_id=NoSuchWorld-v0", "unknown environment NoSuchWorld-v0"),
        ("--env_id=Pendulum-v1", "Pendulum-v1"),  # CartPole-v1 where the actions are vectors
        ("--env_id=probes/PixelChoice-v0", "wanted"),
        ("--env_id=ALE/Pong-v5", "wanted"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(name, flag, said, tmp_path, run_recipe, no_tensorflow):
    if name in VECTORS:
        flag, said = flag.replace("Pendulum", "CartPole"), said.replace("Pendulum", "CartPole")
    done = run_recipe(name, flag, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


class Stopped(Exception):
    """What ends a run that has shown enough."""


@pytest.mark.parametrize("name", ["dqn_atari", "ppo_atari", "rainbow_atari"])
def test_neighbouring_seeds_train_in_other_games(name, tmp_path, monkeypatch):
    """A vector of ALE gives its environments the seeds s, s + 1, …, so those of two runs must be further apart."""
    recipe, seen = importlib.import_module(f"recipes.{name}"), []

    def reset(seed):
        seen.append(seed)
        raise Stopped

    def make(*args, **options):
        games = original(*args, **options)
        games.reset = reset
        return games

    original = recipe.make_atari
    monkeypatch.setattr(recipe, "make_atari", make)
    for seed in range(4):
        with pytest.raises(Stopped):
            recipe.train(env_id="probes/PixelChoice-v0", seed=seed, num_envs=16, logdir=str(tmp_path / str(seed)))
    assert np.diff(sorted(seen)).min() >= 16 and 0 <= min(seen) <= max(seen) < 2**30


@pytest.mark.parametrize("name", sorted(name for name in QUICK if "minibatches" in QUICK[name]))
def test_as_many_rounds_of_updates_as_the_interval_says_although_a_step_of_all_games_is_longer(
    name, tmp_path, monkeypatch
):
    """Four games, a round for each of their steps: at most the few steps before the first transition have none."""
    recipe, rounds = importlib.import_module(f"recipes.{name}"), []
    memory = next(kind for kind in vars(recipe).values() if inspect.isclass(kind) and kind.__name__.endswith("Buffer"))
    original = memory.sample
    monkeypatch.setattr(memory, "sample", lambda *args: rounds.append(1) or original(*args))
    settings = {"train_interval": 1, "minibatches": 1, "learning_starts": 0, "eval_interval": 0, "eval_episodes": 0}
    if name in VECTORS:
        settings |= {"steps": 60}
    run(name, tmp_path / "run", **settings, episodes=8)
    newest = max((tmp_path / "run" / "checkpoint").iterdir(), key=lambda path: int(path.name))
    step = json.loads((newest / "state.json").read_text())["step"]
    assert step - 40 <= len(rounds) <= step and len(rounds) > step / 3


def test_a_rollout_of_one_step_whose_standardised_advantage_is_nothing_is_refused(tmp_path):
    train = importlib.import_module("recipes.compiled_actor_critic_cartpole").train
    with pytest.raises(UsageError, match="the advantage of one step"):
        train(num_envs=1, rollout_length=1, logdir=str(tmp_path / "run"))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", sorted(name for name in RECIPES if "ppo" in name))
def test_ppo_refuses_minibatches_of_one_step_whose_standardised_advantage_is_nothing(name, tmp_path):
    train = importlib.import_module(f"recipes.{name}").train
    with pytest.raises(UsageError, match="the advantage of one step"):
        train(**QUICK[name] | {"batch_size": 1}, logdir=str(tmp_path / "run"))
    assert not [*tmp_path.iterdir()]
    if "normalize_advantage" in inspect.signature(train).parameters:
        flags = {"batch_size": 1, "normalize_advantage": False, "episodes": 1, "eval_interval": 0, "eval_episodes": 0}
        train(**QUICK[name] | flags, logdir=str(tmp_path / "run"))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_of_another_world_is_not_continued(name, runs, tmp_path):
    shutil.copytree(runs[name][1], tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises((UsageError, gym.error.Error)):
        run(name, tmp_path / "run", resume=True, seed=9)
    with pytest.raises(UsageError, match="holds a run already"):
        run(name, tmp_path / "run")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
