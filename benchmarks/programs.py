"""What bench.py compares: programs that train, each in a process of its own, and give one number.

Functions of a seed: the steps per second of our recipes, of Stable-Baselines3 with the same settings and of an eager
loop, and the seconds that some of them need for a score.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from pong import moment

from common.files import read_episodes

ROOT = Path(__file__).parent.parent
SB3 = os.environ.get("SB3_PYTHON", str(ROOT / ".venv-sb3" / "bin" / "python"))  # has Stable-Baselines3


def settings_of(recipe, changed):
    """The defaults of a recipe, with some of them changed."""
    train = import_module(f"recipes.{recipe}").train
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    return {**defaults, **changed}


def output_of(command):
    """What a program prints; where it fails, this one ends with what that said."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    return done.stdout


def train_with(recipe, seed, changed):
    """Train with a recipe → `episodes.csv` and what it printed."""
    flags = {"eval_interval": 0, "eval_episodes": 0, "save_interval": 10**9, "seed": seed, **changed}
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={value}" for name, value in {**flags, "logdir": f"{folder}/run"}.items()]
        said = output_of([sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), *words])
        return read_episodes(f"{folder}/run"), said


def steps_per_second(episodes, warm_up, period):
    """Between two games that ended after the warm-up, the second of them late.

    Updates follow each `period` steps. Of the later half of the games the one is taken that ended at the place in its
    period where the first one did, so that the time between them has as many updates as its steps should.
    """
    steps, seconds = episodes["step"], episodes["seconds"]
    counted = np.flatnonzero(steps > warm_up)
    first, late = counted[0], counted[len(counted) // 2 :][::-1]
    place = (steps[late] - steps[first] + period / 2) % period - period / 2
    last = late[np.argmin(abs(place))]
    return (steps[last] - steps[first]) / (seconds[last] - seconds[first])


def ours(recipe, warm_up, changed, seed):
    """Steps per second of a recipe."""
    s = settings_of(recipe, changed)
    period = s["rollout_length"] * s["num_envs"] if "rollout_length" in s else s["train_interval"]
    return float(steps_per_second(train_with(recipe, seed, changed)[0], warm_up, period))


def stable_baselines3(recipe, warm_up, changed, seed):
    """The same, with Stable-Baselines3."""
    settings = settings_of(recipe, changed)
    own = {"recipe": recipe, "warm_up": warm_up, "seed": seed}
    settings = {"updates": settings.get("minibatches"), **settings, **own}
    return json.loads(output_of([SB3, str(ROOT / "benchmarks" / "sb3.py"), json.dumps(settings)]).splitlines()[-1])


def eager(recipe, warm_up, changed, seed):
    """The same, with an eager loop, for which the seed is only the number of a round."""
    settings = json.dumps(settings_of(recipe, {**changed, "warm_up": warm_up}))
    return json.loads(output_of([sys.executable, str(ROOT / "benchmarks" / "eager_dqn.py"), settings]).splitlines()[-1])


THEIRS = "Stable-Baselines3"
AN_UPDATE_PER_STEP = {"steps": 5_000, "hidden_units": 256, "batch_size": 256}
EIGHT_ENVIRONMENTS = {**AN_UPDATE_PER_STEP, "num_envs": 8, "train_interval": 64, "minibatches": 64}
ONE_ENVIRONMENT = {**AN_UPDATE_PER_STEP, "num_envs": 1, "train_interval": 1, "minibatches": 1}
ZOO_PPO = {"steps": 100_000, "rollout_length": 32, "batch_size": 256, "epochs": 20}
ZOO_PONG = {"steps": 20_480, "num_envs": 8, "epochs": 4, "batch_size": 256, "learning_rate": 2.5e-4}
PONG = {"learning_starts": 1_000, "buffer_size": 20_000, "epsilon_decay_steps": 100}  # so that all act by the network
AS_COMPILED = {"num_envs": 16, "learning_rate": 2e-3, "rollout_length": 64, "epochs": 8, "batch_size": 256}


def ours_and_theirs(warm_up, changed):
    """Two programs with the same settings."""
    return {"ours": (ours, warm_up, changed), THEIRS: (stable_baselines3, warm_up, changed)}


def in_case(case, programs):
    """The same programs, with the case after their names."""
    return {f"{name}, {case}": how for name, how in programs.items()}


def with_eight_and_with_one(warm_up=1_500):
    """The same for eight environments, and for one."""
    one = in_case("1 environment", ours_and_theirs(warm_up, ONE_ENVIRONMENT))
    return {**ours_and_theirs(warm_up, EIGHT_ENVIRONMENTS), **one}


# recipe → program → its function, the steps of the warm-up, the settings that are not the recipe's
TRAIN = {
    "dqn_cartpole": {
        **ours_and_theirs(5_000, {"steps": 20_000}),
        f"{THEIRS}, 1 environment": (stable_baselines3, 5_000, {"steps": 20_000, "num_envs": 1}),
        "eager Keras, 1 environment": (eager, 200, {"steps": 500, "train_interval": 2}),
    },
    "a2c_cartpole": {
        **ours_and_theirs(10_000, {"steps": 100_000, "rollout_length": 5}),
        **in_case("rollouts of 32 steps", ours_and_theirs(10_000, {"steps": 100_000})),
    },
    "ppo_cartpole": ours_and_theirs(10_000, ZOO_PPO),
    "ppo_pendulum": ours_and_theirs(10_000, {"steps": 100_000}),
    "compiled_ppo_cartpole": {
        "ours": (ours, 20_000, {**AS_COMPILED, "steps": 600_000}),
        "ours, ppo_cartpole": (ours, 20_000, {**AS_COMPILED, "steps": 300_000}),
        THEIRS: (stable_baselines3, 20_000, {**AS_COMPILED, "steps": 80_000}),
    },
    "ddpg_pendulum": with_eight_and_with_one(),
    "td3_pendulum": with_eight_and_with_one(),
    "sac_pendulum": with_eight_and_with_one(),
    "dqn_atari": {
        "ours": (ours, 3_000, {**PONG, "episodes": 16}),
        "ours, bfloat16": (ours, 3_000, {**PONG, "episodes": 16, "precision": "bfloat16"}),
        THEIRS: (stable_baselines3, 2_000, {**PONG, "steps": 5_000, "train_interval": 8, "updates": 2}),
        f"{THEIRS}, 1 environment": (stable_baselines3, 2_000, {**PONG, "steps": 5_000, "num_envs": 1, "updates": 1}),
        "eager Keras, 1 environment": (eager, 100, {"steps": 500}),
    },
    "ppo_atari": {
        **ours_and_theirs(4_096, ZOO_PONG),
        "ours, bfloat16": (ours, 4_096, {**ZOO_PONG, "precision": "bfloat16"}),
    },
}
STANDS_FOR = {  # another recipe, which has the settings that a program wants
    ("compiled_ppo_cartpole", "ours, ppo_cartpole"): "ppo_cartpole",
    ("compiled_ppo_cartpole", THEIRS): "ppo_cartpole",
}


def train_programs(recipe):
    """Program → function of its seed."""
    programs = TRAIN[recipe].items()
    return {name: partial(how[0], STANDS_FOR.get((recipe, name), recipe), *how[1:]) for name, how in programs}


def versions_of_theirs():
    """Of Stable-Baselines3 and PyTorch."""
    names = "stable-baselines3", "torch"
    asks = f"import json, importlib.metadata as m; print(json.dumps([m.version(name) for name in {names}]))"
    return dict(zip(names, json.loads(output_of([SB3, "-c", asks])), strict=True))


# Seconds to a score.

GOAL, GAMES = 475, 100


def seconds_of(recipe, changed, seed):
    """Until the goal; None if it is never reached. Where the whole loop compiles first, that is in it."""
    episodes, said = train_with(recipe, seed, changed)
    compiling = re.search(r"^compiled +in ([\d.]+) s", said, re.MULTILINE)
    reached = moment(episodes, GAMES, GOAL)
    return None if reached is None else 60 * reached[0] + (float(compiling[1]) if compiling else 0.0)


def seconds_of_stable_baselines3(seed):
    """The same, PPO with the settings of RL Baselines3 Zoo for 100,000 steps, and 100,000 more at a rate of 0."""
    zoo = {**ZOO_PPO, "steps": 200_000, "decay_steps": 100_000, "learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.8}
    settings = settings_of("ppo_cartpole", {**zoo, "entropy_weight": 0.0, "goal": GOAL, "warm_up": 0, "seed": seed})
    command = [SB3, str(ROOT / "benchmarks" / "sb3.py"), json.dumps({**settings, "recipe": "ppo_cartpole"})]
    return json.loads(output_of(command).splitlines()[-1])


def seconds_of_tutorial(*flags, seed):
    """The same, of the TensorFlow tutorial, repaired."""
    said = output_of([sys.executable, str(ROOT / "benchmarks" / "tutorial_actor_critic.py"), f"--seed={seed}", *flags])
    solved, seconds = re.search(r"solved=(\w+) episodes=\d+ seconds=([\d.]+)", said).groups()
    return float(seconds) if solved == "True" else None


SCORE = {
    "compiled_ppo_cartpole": partial(seconds_of, "compiled_ppo_cartpole", {"steps": 120_000}),
    "ppo_cartpole": partial(seconds_of, "ppo_cartpole", {"steps": 200_000}),
    "actor_critic_cartpole": partial(seconds_of, "actor_critic_cartpole", {}),
    f"PPO of {THEIRS}": seconds_of_stable_baselines3,
    "the TensorFlow tutorial, repaired": lambda seed: seconds_of_tutorial(seed=seed),
}
EAGER = {  # the program of the tutorial without tf.function
    "the same eagerly, as among the examples of keras.io, at most 480 s": lambda seed: seconds_of_tutorial(
        "--eager", "--max_seconds=480", seed=seed
    ),
}
