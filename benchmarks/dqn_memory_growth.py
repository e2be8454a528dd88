"""Resident memory of a DQN training process, sampled while it learns with a full replay memory.

python benchmarks/dqn_memory_growth.py [--steps=50000]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire
import numpy as np

from common.files import read_episodes

ROOT = Path(__file__).parent.parent


def resident_megabytes(pid):
    """Resident memory of a process (Linux)."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def measure(steps=50_000):
    """Train on Pong with a memory of 5,000 steps; print resident memory along the way, and its slope once full."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--episodes=100000", "--buffer_size=5000", "--learning_starts=1000", "--save_interval=10000"]
        command = [sys.executable, str(ROOT / "recipes" / "dqn_atari.py"), f"--logdir={folder}/run", *flags]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        samples = []  # (step, megabytes)
        while not samples or samples[-1][0] < steps + 10_000:
            time.sleep(5)
            if Path(f"{folder}/run/episodes.csv").exists():
                played = read_episodes(f"{folder}/run")["step"]
                samples.append((played[-1] if len(played) else 0, resident_megabytes(process.pid)))
        process.terminate()
        process.wait()
    steps_seen, megabytes = np.array([s for s in samples if s[0] >= 10_000]).T  # full since 5,000; checkpoints began
    for step in range(10_000, steps + 10_001, 10_000):
        print(f"step {step:6,}: {np.interp(step, steps_seen, megabytes):.0f} MB")
    slope = np.polyfit(steps_seen, megabytes, 1)[0] * 1000
    print(f"slope {slope:+.3f} MB per 1,000 steps; lowest {megabytes.min():.0f}, highest {megabytes.max():.0f} MB")


if __name__ == "__main__":
    fire.Fire(measure)
