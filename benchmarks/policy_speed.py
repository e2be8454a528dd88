"""Training speed of A2C and PPO, this repository against Stable-Baselines3, in turns, in one run.

Both: whole training loop with the same settings, evaluations and saves left out, counted after the warm-up: PPO on
CartPole with those of RL Baselines3 Zoo, A2C with five steps of eight environments between two updates, PPO on the
pendulum with the recipe's, PPO on Pong with the zoo's for Atari, there also with our other precision and network.

    python benchmarks/policy_speed.py ppo_cartpole --sb3_python=.venv-sb3/bin/python [--rounds=3]
    python benchmarks/policy_speed.py a2c_cartpole --sb3_python=.venv-sb3/bin/python [--rounds=3]
    python benchmarks/policy_speed.py ppo_pendulum --sb3_python=.venv-sb3/bin/python [--rounds=3]
    python benchmarks/policy_speed.py ppo_atari --sb3_python=.venv-sb3/bin/python [--rounds=3]
"""

import importlib
import inspect
import json
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import fire

from common.files import read_episodes
from common.machine import processor

ROOT = Path(__file__).parent.parent
WARM_UP = 10_000  # steps
CHANGED = {
    "ppo_cartpole": {"steps": 100_000, "rollout_length": 32, "batch_size": 256, "epochs": 20},
    "a2c_cartpole": {"steps": 100_000, "rollout_length": 5},
    "ppo_pendulum": {"steps": 60_000},
    "ppo_atari": {"steps": 30_000, "num_envs": 8, "epochs": 4, "batch_size": 256, "learning_rate": 2.5e-4},
}
ALSO = {"ppo_atari": ({"precision": "bfloat16"}, {"network": "small"}, {"precision": "bfloat16", "network": "small"})}


def ours(recipe, **also):
    """Steps per second, from the lines of `episodes.csv` that were written after the warm-up."""
    flags = [f"--{name}={value}" for name, value in {**CHANGED[recipe], **also}.items()]
    with tempfile.TemporaryDirectory() as folder:
        flags += ["--eval_interval=0", "--eval_episodes=0", "--save_interval=1e9", f"--logdir={folder}/run"]
        subprocess.run(
            [sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), *flags], check=True, capture_output=True
        )
        episodes = read_episodes(f"{folder}/run")
    counted = episodes["step"] > WARM_UP
    steps, seconds = episodes["step"][counted], episodes["seconds"][counted]
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


def stable_baselines3(recipe, python):
    """Steps per second as its own process measured them."""
    train = importlib.import_module(f"recipes.{recipe}").train
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    settings = json.dumps({**defaults, **CHANGED[recipe], "recipe": recipe, "warm_up": WARM_UP})
    command = [python, str(ROOT / "benchmarks" / "sb3_policy.py"), settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def compare(recipe, sb3_python, rounds=3):
    """Measure in turns and print medians and their ratio."""
    programs = {"Stable-Baselines3": lambda: stable_baselines3(recipe, sb3_python), "ours": lambda: ours(recipe)}
    for also in ALSO.get(recipe, ()):
        programs[" ".join(["ours", *also.values()])] = partial(ours, recipe, **also)
    measured = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            measured[name].append(program())
            print(f"{name}: {measured[name][-1]:,.0f} steps/s", flush=True)
    print(f"{recipe}, {processor()}")
    for name, speeds in measured.items():
        ratio = statistics.median(speeds) / statistics.median(measured["Stable-Baselines3"])
        spread = " ".join(f"{speed:,.0f}" for speed in speeds)
        print(f"{name}: {statistics.median(speeds):,.0f} steps/s ({spread}), {ratio:.2f} times Stable-Baselines3's")


if __name__ == "__main__":
    fire.Fire(compare)
