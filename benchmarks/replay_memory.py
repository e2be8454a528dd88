"""Resident memory per stored transition of the frame replay buffer, 84 x 84, measured on a full one.

python benchmarks/replay_memory.py [--capacity=100000]
"""

import fire
import numpy as np

from common.replay import FrameReplayBuffer


def resident_bytes():
    """This process's resident memory (Linux)."""
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def measure(capacity=100_000, num_envs=8):
    """Fill a buffer and print what it took."""
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 256, (num_envs, 4, 84, 84), dtype=np.uint8)
    no = np.zeros(num_envs, bool)
    before = resident_bytes()
    buffer = FrameReplayBuffer(capacity, num_envs)
    while len(buffer) < capacity:
        buffer.add(obs, np.zeros(num_envs), np.zeros(num_envs), no, no)
    per_step = (resident_bytes() - before) / capacity
    print(f"{capacity:,} transitions: {per_step:.0f} bytes each, {per_step / 1000:.3f} KB")
    print(f"both stacks stored whole would be {2 * 4 * 84 * 84} bytes")


if __name__ == "__main__":
    fire.Fire(measure)
