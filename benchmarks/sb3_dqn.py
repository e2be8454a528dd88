"""Stable-Baselines3's DQN on Pong for 6,000 steps; prints steps per second after warm-up. Started by dqn_speed.py.

.venv-sb3/bin/python benchmarks/sb3_dqn.py NUM_ENVS
"""

import sys
import time

import ale_py  # noqa: F401  registers the games
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack


class Clock(BaseCallback):
    """Notes when step 2,000 is reached."""

    start = None

    def _on_step(self):
        if self.start is None and self.num_timesteps >= 2000:
            self.start, self.steps = time.perf_counter(), self.num_timesteps
        return True


num_envs = int(sys.argv[1])
model = DQN(
    "CnnPolicy",
    VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=num_envs, seed=0), 4),
    learning_rate=1e-4,
    buffer_size=10_000,
    batch_size=32,
    learning_starts=1000,
    target_update_interval=1000,
    train_freq=4 if num_envs == 1 else 1,
    gradient_steps=max(1, num_envs // 4),
    exploration_fraction=0.01,
    exploration_final_eps=0.01,
)
clock = Clock()
model.learn(6000, callback=clock)
print((model.num_timesteps - clock.steps) / (time.perf_counter() - clock.start))
