"""Training speed of DDPG, TD3 or SAC on Pendulum, this repository against Stable-Baselines3, in turns, in one run.

Both: whole training loop with the defaults of the recipe but two layers of 256 units and batches of 256, evaluations
left out, one update for every step. Counted after 2,000 steps, when all steps are paid with an update. With eight
environments 64 updates follow 64 steps, as in the recipe; with one environment an update follows every step.

    python benchmarks/sac_speed.py --algorithm=sac --sb3_python=.venv-sb3/bin/python [--rounds=3]
"""

import importlib
import inspect
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import fire

from common.files import read_episodes
from common.machine import processor

ROOT = Path(__file__).parent.parent
STEPS = 8_000
WARM_UP = 2_000
EQUAL = {"steps": STEPS, "hidden_units": 256, "batch_size": 256}
SCHEDULES = {
    "8 environments": {"num_envs": 8, "train_interval": 64, "minibatches": 64},
    "1 environment": {"num_envs": 1, "train_interval": 1, "minibatches": 1},
}


def ours(algorithm, schedule):
    """Steps per second, from the lines of `episodes.csv` that were written after the warm-up."""
    settings = {**EQUAL, **schedule, "eval_interval": 0, "eval_episodes": 0}
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--{name}={value}" for name, value in {**settings, "logdir": f"{folder}/run"}.items()]
        command = [sys.executable, str(ROOT / "recipes" / f"{algorithm}_pendulum.py"), *flags]
        subprocess.run(command, check=True, capture_output=True)
        episodes = read_episodes(f"{folder}/run")
    counted = episodes["step"] > WARM_UP
    steps, seconds = episodes["step"][counted], episodes["seconds"][counted]
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


def stable_baselines3(algorithm, schedule, python):
    """Steps per second as its own process measured them."""
    train = importlib.import_module(f"recipes.{algorithm}_pendulum").train
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    settings = json.dumps({**defaults, **EQUAL, **schedule, "warm_up": WARM_UP})
    command = [python, str(ROOT / "benchmarks" / "sb3_pendulum.py"), algorithm, settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def compare(algorithm, sb3_python, rounds=3):
    """Measure in turns and print medians and their ratio."""
    if algorithm not in ("ddpg", "td3", "sac"):
        sys.exit(f"{algorithm}: ddpg, td3 or sac is wanted")
    measured = {(who, how): [] for how in SCHEDULES for who in ("ours", "Stable-Baselines3")}
    for _ in range(rounds):
        for how, schedule in SCHEDULES.items():
            measured["ours", how].append(ours(algorithm, schedule))
            measured["Stable-Baselines3", how].append(stable_baselines3(algorithm, schedule, sb3_python))
    print(f"{algorithm}, {processor()}")
    best = statistics.median(measured["ours", "8 environments"])
    for (who, how), speeds in measured.items():
        spread = " ".join(f"{speed:,.0f}" for speed in speeds)
        middle = statistics.median(speeds)
        ratio = "" if who == "ours" else f"; ours with 8 environments is {best / middle:.2f} times as fast"
        if who != "ours":
            ratio += f", with as many {statistics.median(measured['ours', how]) / middle:.2f} times"
        print(f"{who}, {how}: {middle:,.0f} steps/s ({spread}){ratio}")


if __name__ == "__main__":
    fire.Fire(compare)
