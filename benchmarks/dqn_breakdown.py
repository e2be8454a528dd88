"""Where the time of DQN's training loop goes on Pong, in milliseconds per 8 steps of 8 environments, and what would be
possible: the arithmetic of an update against the machine's speed at a large matrix product.

    python benchmarks/dqn_breakdown.py
"""

import time

import numpy as np

from common.lazy import tf
from common.machine import processor
from common.replay import FrameReplayBuffer
from envs.atari import game_over, make_atari
from recipes.dqn_atari import build_optimizer, build_q_network, make_act, make_update

# Multiplications and additions of one forward pass of the Nature network on one observation.
CONV1, CONV2, CONV3, DENSE = 20 * 20 * 32 * 256 * 2, 9 * 9 * 64 * 512 * 2, 7 * 7 * 64 * 576 * 2, 3136 * 512 * 2
FORWARD = CONV1 + CONV2 + CONV3 + DENSE
UPDATE = 32 * (2 * FORWARD + 2 * FORWARD - CONV1)  # two forward passes; backward is twice a forward, but for the pixels


def measure(iterations=500, num_envs=8):
    """Median milliseconds of each part over the second half of `iterations`."""
    envs = make_atari("ALE/Pong-v5", num_envs)
    obs, _ = envs.reset(seed=0)
    model, target = build_q_network((4, 84, 84), 6), build_q_network((4, 84, 84), 6)
    act, update = make_act(model), make_update(model, target, build_optimizer("adam", 1e-4))
    memory, rng = FrameReplayBuffer(20_000, num_envs), np.random.default_rng(0)
    parts = []
    for _ in range(iterations):
        clock = [time.perf_counter()]

        def tick(clock=clock):
            clock.append(time.perf_counter())

        greedy, _ = act(obs)
        action = np.where(rng.random(num_envs) < 0.5, rng.integers(6, size=num_envs), greedy)
        tick()
        next_obs, reward, terminated, truncated, info = envs.step(action)
        tick()
        memory.add(obs, action, reward, terminated, game_over(terminated, truncated, info))
        obs = next_obs
        tick()
        if memory.is_ready(800):
            for _ in range(2):
                batch = memory.sample(32, rng)
                tick()
                float(update(*batch))
                tick()
            parts.append(np.diff(clock))
    act_ms, step_ms, add_ms, sample1, update1, sample2, update2 = 1000 * np.median(parts[len(parts) // 2 :], axis=0)
    print(processor())
    print(
        f"act {act_ms:.1f}, step {step_ms:.1f}, remember {add_ms:.1f}, sample twice {sample1 + sample2:.1f}, ", end=""
    )
    print(f"update twice {update1 + update2:.1f} ms")
    peak = matrix_product_speed()
    speed = UPDATE / (update1 + update2) * 2 / 1e6
    print(f"an update is {UPDATE / 1e9:.2f} GFLOP at {speed:.0f} GFLOP/s; a large matrix product runs at {peak:.0f}")


def matrix_product_speed(n=2048):
    """GFLOP/s of a float32 matrix product."""
    a = tf.random.normal((n, n))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        (a @ a).numpy()
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times) / 1e9


if __name__ == "__main__":
    measure()
