"""Training speed of DQN on Pong, this repository against Stable-Baselines3, in turns, in one run.

Both: whole training loop, batch 32, one update per 4 steps, Adam, sticky actions off. Counted after warm-up, when every
step is paid with its share of updates. Stable-Baselines3 runs with one environment, as its tuned settings have it, and
with eight, as this repository does.

    python benchmarks/dqn_speed.py --sb3_python=.venv-sb3/bin/python [--rounds=3]
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import fire

from common.files import read_episodes
from common.machine import processor

ROOT = Path(__file__).parent.parent


def ours():
    """Steps per second, from the lines of `episodes.csv` that were written while learning."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--episodes=24", "--learning_starts=1000", "--buffer_size=20000", "--eval_episodes=0"]
        command = [sys.executable, str(ROOT / "recipes" / "dqn_atari.py"), f"--logdir={folder}/run", *flags]
        subprocess.run(command, check=True, capture_output=True)
        episodes = read_episodes(f"{folder}/run")
    learning = episodes["step"] > 3000
    steps, seconds = episodes["step"][learning], episodes["seconds"][learning]
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


def stable_baselines3(python, num_envs):
    """Steps per second as its own process measured them."""
    command = [python, str(ROOT / "benchmarks" / "sb3_dqn.py"), str(num_envs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def compare(sb3_python, rounds=3):
    """Measure in turns and print medians and their ratio."""
    measured = {"ours, 8 environments": [], "Stable-Baselines3, 1": [], "Stable-Baselines3, 8": []}
    for _ in range(rounds):
        measured["ours, 8 environments"].append(ours())
        measured["Stable-Baselines3, 1"].append(stable_baselines3(sb3_python, 1))
        measured["Stable-Baselines3, 8"].append(stable_baselines3(sb3_python, 8))
    print(processor())
    for name, speeds in measured.items():
        spread = " ".join(f"{speed:.1f}" for speed in speeds)
        ratio = statistics.median(measured["ours, 8 environments"]) / statistics.median(speeds)
        print(f"{name}: {statistics.median(speeds):.1f} steps/s ({spread}); ours is {ratio:.2f} times as fast")


if __name__ == "__main__":
    fire.Fire(compare)
