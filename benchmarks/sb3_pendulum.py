"""Stable-Baselines3's DDPG, TD3 and SAC on Pendulum with the settings of the recipe; prints steps per second.

Started by sac_speed.py, with what it took from the recipe's signature:

    .venv-sb3/bin/python benchmarks/sb3_pendulum.py sac '{"num_envs": 8, "steps": 8000, "warm_up": 2000, …}'
"""

import json
import sys
import time

import numpy as np
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise


class Clock(BaseCallback):
    """Notes when the warm-up is over."""

    start = None

    def _on_step(self):
        if self.start is None and self.num_timesteps >= s["warm_up"]:
            self.start, self.steps = time.perf_counter(), self.num_timesteps
        return True


def own(algorithm):
    """The settings that only one of them has."""
    if algorithm == "sac":
        return {"target_entropy": s["target_entropy"]}
    noise = {"action_noise": NormalActionNoise(np.zeros(1), np.full(1, s["exploration_noise"]))}
    if algorithm == "ddpg":
        return noise
    repairs = {"target_policy_noise": s["target_noise"], "target_noise_clip": s["noise_clip"]}
    return {**noise, "policy_delay": s["policy_delay"], **repairs}


algorithm, s = sys.argv[1], json.loads(sys.argv[2])
model = {"ddpg": DDPG, "td3": TD3, "sac": SAC}[algorithm](
    "MlpPolicy",
    make_vec_env("Pendulum-v1", n_envs=s["num_envs"], seed=0),
    policy_kwargs={"net_arch": [s["hidden_units"]] * 2},
    learning_rate=s["learning_rate"],
    buffer_size=s["buffer_size"],
    batch_size=s["batch_size"],
    learning_starts=s["learning_starts"],
    gamma=s["gamma"],
    tau=s["tau"],
    train_freq=s["train_interval"] // s["num_envs"],  # in steps of the vector of environments
    gradient_steps=s["minibatches"],
    device="cpu",
    **own(algorithm),
)
clock = Clock()
model.learn(s["steps"], callback=clock)
print((model.num_timesteps - clock.steps) / (time.perf_counter() - clock.start))
