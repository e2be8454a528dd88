"""Stable-Baselines3's A2C or PPO with the settings of a recipe; prints steps per second.

Started by policy_speed.py, with what it took from the recipe's signature:

    .venv-sb3/bin/python benchmarks/sb3_policy.py '{"recipe": "ppo_cartpole", "num_envs": 8, "steps": 100000, …}'
"""

import json
import sys
import time

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecFrameStack

s = json.loads(sys.argv[1])


class Clock(BaseCallback):
    """Notes when the warm-up is over."""

    start = None

    def _on_step(self):
        if self.start is None and self.num_timesteps >= s["warm_up"]:
            self.start, self.steps = time.perf_counter(), self.num_timesteps
        return True


if s["env_id"].startswith("ALE/"):
    import ale_py  # noqa: F401  registers the games

    atari = make_atari_env(
        s["env_id"], s["num_envs"], seed=0, env_kwargs={"frameskip": 1, "repeat_action_probability": 0}
    )
    world = {"policy": "CnnPolicy", "env": VecFrameStack(atari, 4)}
else:
    world = {
        "policy": "MlpPolicy",
        "env": make_vec_env(s["env_id"], n_envs=s["num_envs"], seed=0),
        "policy_kwargs": {"net_arch": [s["hidden_units"]] * 2},
    }
settings = {
    **world,
    "learning_rate": s["learning_rate"],
    "n_steps": s["rollout_length"],
    "gamma": s["gamma"],
    "gae_lambda": s["gae_lambda"],
    "ent_coef": s["entropy_weight"],
    "vf_coef": s["value_weight"],
    "max_grad_norm": s["max_gradient_norm"],
    "device": "cpu",
}
if s["recipe"].startswith("a2c"):
    model = A2C(**settings)
else:
    model = PPO(**settings, n_epochs=s["epochs"], batch_size=s["batch_size"], clip_range=s["clip_range"])
clock = Clock()
model.learn(s["steps"], callback=clock)
print((model.num_timesteps - clock.steps) / (time.perf_counter() - clock.start))
