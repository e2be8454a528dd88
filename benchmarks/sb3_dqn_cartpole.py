"""Stable-Baselines3's DQN on CartPole with the settings of recipes/dqn_cartpole.py; prints steps per second.

Started by dqn_cartpole_speed.py, with what it took from the recipe's signature:

    .venv-sb3/bin/python benchmarks/sb3_dqn_cartpole.py '{"num_envs": 8, "steps": 20000, …}'
"""

import json
import sys
import time

from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

WARM_UP = 5_000  # steps


class Clock(BaseCallback):
    """Notes when the warm-up is over."""

    start = None

    def _on_step(self):
        if self.start is None and self.num_timesteps >= WARM_UP:
            self.start, self.steps = time.perf_counter(), self.num_timesteps
        return True


s = json.loads(sys.argv[1])
model = DQN(
    "MlpPolicy",
    make_vec_env("CartPole-v1", n_envs=s["num_envs"], seed=0),
    policy_kwargs={"net_arch": [s["hidden_units"]] * 2},
    learning_rate=s["learning_rate"],
    buffer_size=s["buffer_size"],
    batch_size=s["batch_size"],
    learning_starts=s["learning_starts"],
    gamma=s["gamma"],
    train_freq=s["train_interval"] // s["num_envs"],  # in steps of the vector of environments
    gradient_steps=s["minibatches"],
    # Also counted in environment steps, while the recipe counts updates.
    target_update_interval=s["train_interval"] * s["target_interval"] // s["minibatches"],
    exploration_fraction=s["epsilon_decay_steps"] / s["steps"],
    exploration_final_eps=s["epsilon_final"],
    max_grad_norm=10,
    device="cpu",
)
clock = Clock()
model.learn(s["steps"], callback=clock)
print((model.num_timesteps - clock.steps) / (time.perf_counter() - clock.start))
