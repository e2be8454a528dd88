"""Speed of Rainbow's training loop on Pong against DQN's at equal settings, and what each part costs.

Every loop acts for 8 environments, steps them, remembers, and makes two updates of 32, as the recipes do. The loops go
in turns, 8 steps each, so that whatever else the machine does slows all of them; the medians are printed.

    python benchmarks/rainbow_speed.py [--rounds=300]
"""

import time

import fire
import numpy as np

from common.machine import processor
from common.replay import FrameReplayBuffer, PrioritizedFrameReplayBuffer
from envs.atari import make_atari
from recipes import dqn_atari, rainbow_atari

ENVS, LEARNING_STARTS, N_STEP = 8, 800, 3
OFF = {"double": False, "dueling": False, "distributional": False, "noisy": False, "prioritized": False}


def dqn_loop():
    """Yields after every 8 steps of `recipes/dqn_atari.py`."""
    envs, rng = make_atari("ALE/Pong-v5", ENVS), np.random.default_rng(0)
    memory = FrameReplayBuffer(20_000, ENVS, n_step=N_STEP)
    model, target = (dqn_atari.build_q_network((4, 84, 84), 6) for _ in range(2))
    update = dqn_atari.make_update(model, target, dqn_atari.build_optimizer("adam", 1e-4))
    act, (obs, _) = dqn_atari.make_act(model), envs.reset(seed=0)
    while True:
        greedy, _ = act(obs)
        action = np.where(rng.random(ENVS) < 0.5, rng.integers(6, size=ENVS), greedy)
        next_obs, reward, terminated, truncated, _ = envs.step(action)
        memory.add(obs, action, reward, terminated, terminated | truncated)
        obs = next_obs
        for _ in range(2 if memory.is_ready(LEARNING_STARTS) else 0):
            float(update(*memory.sample(32, rng)))
        yield memory.is_ready(LEARNING_STARTS)


def rainbow_loop(double=True, dueling=True, distributional=True, noisy=True, prioritized=True):
    """Yields after every 8 steps of `recipes/rainbow_atari.py`."""
    envs, rng = make_atari("ALE/Pong-v5", ENVS), np.random.default_rng(0)
    memory = PrioritizedFrameReplayBuffer(20_000, ENVS, n_step=N_STEP)
    support = np.linspace(-10, 10, 51, dtype=np.float32) if distributional else None
    model, target = (rainbow_atari.build_q_network((4, 84, 84), 6, support, dueling, 0.5 * noisy) for _ in range(2))
    optimizer = rainbow_atari.build_optimizer("adam", 1e-4)
    update = rainbow_atari.make_update(model, target, optimizer, support, double)
    act, (obs, _) = rainbow_atari.make_act(model), envs.reset(seed=0)
    while True:
        greedy, _ = act(obs, rainbow_atari.draw_noise(model, rng, len(obs)))
        action = np.where(rng.random(ENVS) < (0 if noisy else 0.5), rng.integers(6, size=ENVS), greedy)
        next_obs, reward, terminated, truncated, _ = envs.step(action)
        memory.add(obs, action, reward, terminated, terminated | truncated)
        obs = next_obs
        for _ in range(2 if memory.is_ready(LEARNING_STARTS) else 0):
            batch, rows, probability = memory.sample(32, rng)
            weight = rainbow_atari.importance_weights(probability, 0.4)
            loss, losses = update(*batch, weight, rainbow_atari.draw_noise(model, rng, 3))
            float(loss)
            memory.set_priorities(rows, np.maximum(losses, 1e-6) ** (0.5 if prioritized else 0))
        yield memory.is_ready(LEARNING_STARTS)


def compare(rounds=300):
    """Print one line for each loop."""
    loops = {"dqn_atari": dqn_loop(), "rainbow_atari": rainbow_loop(), "rainbow_atari, all off": rainbow_loop(**OFF)}
    loops.update({f"rainbow_atari without {part}": rainbow_loop(**{part: False}) for part in OFF})
    for loop in loops.values():
        while not next(loop):
            pass
        next(loop)
    seconds = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            start = time.perf_counter()
            next(loop)
            seconds[name].append(time.perf_counter() - start)
    print(processor())
    medians = {name: np.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        share = medians["dqn_atari"] / median
        print(f"{name}: {1000 * median:.1f} ms per 8 steps, {8 / median:.0f} steps/s, {share:.2f} times those of DQN")


if __name__ == "__main__":
    fire.Fire(compare)
