"""The compiled recipes on an idle machine, all cores: seconds to compile and to train, steps/s, and score in gymnasium.

The compiled actor-critic, the compiled PPO, and ppo_cartpole with the same settings as the compiled PPO, in turns.
Steps per second are counted over the second half, since ppo_cartpole compiles its update at its beginning.

    python benchmarks/compiled_speed.py [--seeds=5]
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import fire
import numpy as np

from common.files import read_episodes
from common.machine import processor

ROOT = Path(__file__).parent.parent
SAME = (  # as the compiled PPO
    "--steps=60000 --num_envs=16 --learning_rate=2e-3 --learning_rate_decay_steps=60000 --rollout_length=64 --epochs=8 "
    "--batch_size=256 --eval_interval=0"
)
COMMANDS = {
    "compiled_actor_critic_cartpole": "",
    "compiled_ppo_cartpole": "",
    "ppo_cartpole": SAME,
}


def measure(recipe, flags, seed):
    """One run → score, seconds of training, steps/s, and where it is apart, seconds of compiling."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        words = [f"recipes/{recipe}.py", *flags.split(), f"--seed={seed}", f"--logdir={run}"]
        done = subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, text=True)
        episodes, scores = read_episodes(run), json.loads((run / "evaluation.json").read_text())["scores"]
    seconds, steps = episodes["seconds"], episodes["step"]
    half = np.searchsorted(steps, steps[-1] / 2)
    compiled = re.search(r"^compiled +in ([\d.]+) s", done.stdout, re.MULTILINE)
    return {
        "score": np.mean(scores),
        "seconds of training": seconds[-1],
        "steps/s": (steps[-1] - steps[half]) / (seconds[-1] - seconds[half]),
        **({"seconds of compiling": float(compiled[1])} if compiled else {}),
    }


def compare(seeds=5):
    """Print medians, and in brackets the lowest and the highest."""
    found = {recipe: [] for recipe in COMMANDS}
    for seed in range(1000, 1000 + seeds):
        for recipe, flags in COMMANDS.items():
            found[recipe].append(measure(recipe, flags, seed))
    print(f"{processor()}, {seeds} seeds, median (lowest to highest)")
    for recipe, runs in found.items():
        for name in runs[0]:
            values = [run[name] for run in runs]
            print(f"{recipe}, {name}: {statistics.median(values):,.4g} ({min(values):,.4g} to {max(values):,.4g})")


if __name__ == "__main__":
    fire.Fire(compare)
