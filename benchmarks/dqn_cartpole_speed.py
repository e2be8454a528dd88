"""Training speed of DQN on CartPole, this repository against Stable-Baselines3, in turns, in one run.

Both: whole training loop with the defaults of recipes/dqn_cartpole.py, evaluations left out. Counted after 5,000 steps,
when every step is paid with its share of updates. Stable-Baselines3 runs with eight environments, as the recipe does,
and with one, as its tuned settings have it.

    python benchmarks/dqn_cartpole_speed.py --sb3_python=.venv-sb3/bin/python [--rounds=3]
"""

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
from recipes import dqn_cartpole

ROOT = Path(__file__).parent.parent
STEPS = 20_000
WARM_UP = 5_000


def ours():
    """Steps per second, from the lines of `episodes.csv` that were written after the warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--steps={STEPS}", "--eval_interval=0", "--eval_episodes=0", f"--logdir={folder}/run"]
        command = [sys.executable, str(ROOT / "recipes" / "dqn_cartpole.py"), *flags]
        subprocess.run(command, check=True, capture_output=True)
        episodes = read_episodes(f"{folder}/run")
    counted = episodes["step"] > WARM_UP
    steps, seconds = episodes["step"][counted], episodes["seconds"][counted]
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


def stable_baselines3(python, num_envs):
    """Steps per second as its own process measured them."""
    defaults = {name: p.default for name, p in inspect.signature(dqn_cartpole.train).parameters.items()}
    settings = json.dumps({**defaults, "steps": STEPS, "num_envs": num_envs})
    command = [python, str(ROOT / "benchmarks" / "sb3_dqn_cartpole.py"), settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def compare(sb3_python, rounds=3):
    """Measure in turns and print medians and their ratio."""
    measured = {"ours, 8 environments": [], "Stable-Baselines3, 8": [], "Stable-Baselines3, 1": []}
    for _ in range(rounds):
        measured["ours, 8 environments"].append(ours())
        measured["Stable-Baselines3, 8"].append(stable_baselines3(sb3_python, 8))
        measured["Stable-Baselines3, 1"].append(stable_baselines3(sb3_python, 1))
    print(processor())
    for name, speeds in measured.items():
        spread = " ".join(f"{speed:,.0f}" for speed in speeds)
        ratio = statistics.median(measured["ours, 8 environments"]) / statistics.median(speeds)
        print(f"{name}: {statistics.median(speeds):,.0f} steps/s ({spread}); ours is {ratio:.2f} times as fast")


if __name__ == "__main__":
    fire.Fire(compare)
