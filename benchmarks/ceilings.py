"""What the machine and each part of a training loop could do at most, how their cost grows, and what memory holds.

Functions for bench.py, which measures them in turns: each takes what is varied and gives one number.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np

from common.files import read_episodes
from common.lazy import keras, tf
from common.machine import dtype_of
from common.replay import FrameReplayBuffer, PrioritizedFrameReplayBuffer, PrioritizedReplayBuffer, ReplayBuffer
from envs.atari import make_atari
from envs.checked import make_vec
from recipes import dqn_atari, dqn_cartpole, ppo_atari

ROOT = Path(__file__).parent.parent
SCREEN, ACTIONS = (4, 84, 84), 6  # of Pong
VECTOR = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(2)  # of CartPole


def per_second(call, seconds=0.5, least=10):
    """How often `call` can be made in a second: for so long, and so often at least, after three that do not count."""
    for _ in range(3):
        call()
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or calls < least:
        call()
        calls += 1
    return calls / elapsed


# Arithmetic, in GFLOP/s.

# Multiplications and additions of the Nature network for one observation, of its first convolution, and of a gradient,
# which is a forward pass and twice as much backward, but for the screens, which have no gradient.
CONVOLUTION = 2 * 20 * 20 * 32 * 8 * 8 * 4
FORWARD = CONVOLUTION + 2 * (9 * 9 * 64 * 4 * 4 * 32 + 7 * 7 * 64 * 3 * 3 * 64 + 3136 * 512)
GRADIENT = 3 * FORWARD - CONVOLUTION


def screens(*shape):
    return tf.constant(np.random.default_rng(0).integers(0, 256, (*shape, *SCREEN), dtype=np.uint8))


def product(dtype, n=2048):
    """A matrix product of n x n."""
    a = tf.cast(tf.random.normal((n, n)), dtype)
    return per_second(lambda: (a @ a)[0, 0].numpy()) * 2 * n**3 / 1e9


def forward(precision, count):
    """A forward pass of the Nature network on so many observations."""
    network = ppo_atari.build_actor_critic(SCREEN, ACTIONS, "nature", False, dtype_of(precision))
    call, obs = tf.function(lambda obs: network(obs)), screens(count)
    return per_second(lambda: call(obs)[1][0, 0].numpy()) * count * FORWARD / 1e9


def dqn_update(batch_size=32):
    """An update of dqn_atari: a forward pass of the target network and a gradient."""
    model, target = (dqn_atari.build_q_network(SCREEN, ACTIONS) for _ in range(2))
    update = dqn_atari.make_update(model, target, dqn_atari.build_optimizer("adam", 1e-4))
    one, action, obs = tf.ones(batch_size), tf.ones(batch_size, tf.int64), screens(batch_size)
    speed = per_second(lambda: float(update(obs, action, one, one, obs)))
    return speed * batch_size * (FORWARD + GRADIENT) / 1e9


def ppo_update(precision, batch_size=64, minibatches=8, num_envs=8):
    """Updates of ppo_atari, as many as one rollout has minibatches."""
    model = ppo_atari.build_actor_critic(SCREEN, ACTIONS, "nature", True, dtype_of(precision))
    optimizer = keras.optimizers.Adam(1e-4, global_clipnorm=0.5)
    update = ppo_atari.make_update(model, optimizer, 0.99, 0.95, 0.1, 0.0, 0.5, 0.01, True, 0.0)
    steps = batch_size * minibatches // num_envs
    zero, no = tf.zeros((steps, num_envs)), tf.zeros((steps, num_envs), tf.bool)
    logits, value = tf.zeros((steps, num_envs, ACTIONS)), tf.zeros((steps + 1, num_envs))
    rollout = screens(steps, num_envs), tf.cast(zero, tf.int64), zero, no, no, ~no, logits, value
    rows = tf.reshape(tf.random.shuffle(tf.range(steps * num_envs)), (minibatches, batch_size))
    return per_second(lambda: update(*rollout, rows)[0].numpy()) * batch_size * minibatches * GRADIENT / 1e9


# Environments, in steps per second.


def pong(num_envs):
    return make_atari("ALE/Pong-v5", num_envs)


def cartpole(num_envs):
    return make_vec("CartPole-v1", num_envs, "vectors")


def pendulum(num_envs):
    return make_vec("Pendulum-v1", num_envs, "vectors", actions="continuous")


def environments(make, num_envs):
    """Environments alone, with random actions that were drawn before."""
    envs = make(num_envs)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = itertools.cycle([envs.action_space.sample() for _ in range(100)])
    speed = num_envs * per_second(lambda: envs.step(next(actions)), 1.0)
    envs.close()
    return speed


# How the cost grows, in microseconds of one call.


def act_on_vectors(num_envs):
    """dqn_cartpole acts in so many environments."""
    weights, obs = dqn_cartpole.build_q_network(4, 2, 128).get_weights(), np.zeros((num_envs, 4), np.float32)
    return 1e6 / per_second(lambda: dqn_cartpole.act(weights, obs))


def act_on_screens(num_envs):
    """dqn_atari acts in so many environments."""
    act, obs = dqn_atari.make_act(dqn_atari.build_q_network(SCREEN, ACTIONS)), screens(num_envs)
    return 1e6 / per_second(lambda: act(obs)[0].numpy())


def vector_update(batch_size=64, hidden_units=128, minibatches=8):
    """An update of dqn_cartpole, of several in one call."""
    model, target = (dqn_cartpole.build_q_network(4, 2, hidden_units) for _ in range(2))
    update = dqn_cartpole.make_update(model, target, keras.optimizers.Adam(1e-3), 0.99)
    obs, zero = tf.random.normal((minibatches, batch_size, 4)), tf.zeros((minibatches, batch_size))
    action = tf.cast(zero, tf.int64)
    return 1e6 / per_second(lambda: update(obs, action, zero, obs, zero).numpy()) / minibatches


def screen_update(batch_size):
    """An update of dqn_atari."""
    return batch_size * (FORWARD + GRADIENT) / dqn_update(batch_size) / 1e3


def step(make, num_envs):
    """A step of so many environments."""
    return 1e6 * num_envs / environments(make, num_envs)


def draw(kind, capacity, batch_size=64):
    """A batch of transitions drawn from a full memory of vectors."""
    memory, rng = full(kind(capacity, *VECTOR)), np.random.default_rng(0)
    return 1e6 / per_second(lambda: memory.sample(batch_size, rng))


def full(memory, count=1_000):
    """The memory after as many transitions of vectors as it holds."""
    obs, zero = np.zeros((count, 4), np.float32), np.zeros(count, np.float32)
    while len(memory) < memory.capacity:
        memory.add(obs, zero.astype(int), zero, obs, zero)
    return memory


# Memory.


def resident_bytes(process="self"):
    """Resident memory of a process (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def bytes_of_vectors(kind, capacity=2_000_000):
    """Resident bytes of each transition of a full memory of CartPole."""
    before = resident_bytes()
    memory = full(kind(capacity, *VECTOR))
    return (resident_bytes() - before) / len(memory)


def bytes_of_screens(kind, capacity=40_000, num_envs=8):
    """Resident bytes of each transition of a full memory of Atari."""
    obs, zero, no = screens(num_envs).numpy(), np.zeros(num_envs), np.zeros(num_envs, bool)
    before = resident_bytes()
    memory = kind(capacity, num_envs)
    for _ in range(capacity // num_envs):
        memory.add(obs, zero, zero, no, no)
    return (resident_bytes() - before) / capacity


def memory_while_training(minutes):
    """Train dqn_atari for so long, with a memory that is soon full → [(minute, megabytes)], one in ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--episodes=100000", "--buffer_size=5000", "--learning_starts=1000", "--save_interval=10000"]
        command = [sys.executable, str(ROOT / "recipes" / "dqn_atari.py"), f"--logdir={folder}/run", *flags]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        samples, begin = [], time.monotonic()
        try:
            while time.monotonic() < begin + 60 * minutes:
                time.sleep(10)
                if process.poll() is not None:
                    raise RuntimeError(f"the training ended with code {process.returncode}")
                samples.append(((time.monotonic() - begin) / 60, resident_bytes(process.pid) / 1e6))
        finally:
            process.terminate()
            process.wait()
        assert len(read_episodes(f"{folder}/run")["step"]), "no game was finished"
    return samples


PRODUCT = "matrix product, 2048 x 2048"
CEILINGS = {  # title → what it is measured in, and function without arguments
    f"{PRODUCT}, float32": ("GFLOP/s", partial(product, "float32")),
    f"{PRODUCT}, bfloat16": ("GFLOP/s", partial(product, "bfloat16")),
    "Nature's network, forward, 1 screen, float32": ("GFLOP/s", partial(forward, "float32", 1)),
    "Nature's network, forward, 8 screens, float32": ("GFLOP/s", partial(forward, "float32", 8)),
    "Nature's network, forward, 64 screens, float32": ("GFLOP/s", partial(forward, "float32", 64)),
    "Nature's network, forward, 64 screens, bfloat16": ("GFLOP/s", partial(forward, "bfloat16", 64)),
    "update of dqn_atari, batch 32, float32": ("GFLOP/s", dqn_update),
    "updates of ppo_atari, batch 64, float32": ("GFLOP/s", partial(ppo_update, "float32")),
    "updates of ppo_atari, batch 64, bfloat16": ("GFLOP/s", partial(ppo_update, "bfloat16")),
    "Pong, 1 emulator": ("steps/s", partial(environments, pong, 1)),
    "Pong, 8 emulators": ("steps/s", partial(environments, pong, 8)),
    "CartPole, 8 environments": ("steps/s", partial(environments, cartpole, 8)),
    "Pendulum, 8 environments": ("steps/s", partial(environments, pendulum, 8)),
}
POWERS = [2**i for i in range(11)]
GROWTH = {  # picture → program → function of a number, and the numbers
    "environments": {
        "step of CartPole": (partial(step, cartpole), POWERS),
        "step of Pong": (partial(step, pong), POWERS[:7]),
        "act on vectors": (act_on_vectors, POWERS),
        "act on screens": (act_on_screens, POWERS[:7]),
    },
    "transitions in a batch": {
        "update of dqn_cartpole": (vector_update, POWERS[3:]),
        "update of dqn_atari": (screen_update, POWERS[3:8]),
    },
    "units of a hidden layer": {
        "update of dqn_cartpole": (lambda width: vector_update(hidden_units=width), POWERS[3:]),
    },
    "transitions in the memory": {
        "draw from ReplayBuffer": (partial(draw, ReplayBuffer), [10**i for i in range(3, 7)]),
        "draw from PrioritizedReplayBuffer": (partial(draw, PrioritizedReplayBuffer), [10**i for i in range(3, 7)]),
    },
}
MEMORY = {
    "ReplayBuffer, CartPole": partial(bytes_of_vectors, ReplayBuffer),
    "PrioritizedReplayBuffer, CartPole": partial(bytes_of_vectors, PrioritizedReplayBuffer),
    "FrameReplayBuffer, Atari": partial(bytes_of_screens, FrameReplayBuffer),
    "PrioritizedFrameReplayBuffer, Atari": partial(bytes_of_screens, PrioritizedFrameReplayBuffer),
}
