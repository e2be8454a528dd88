"""Stable-Baselines3 with the settings of a recipe; prints its training steps per second, or when it reached a score.

Started by bench.py in the environment that has Stable-Baselines3, with what bench.py took from the recipe's signature:

    .venv-sb3/bin/python benchmarks/sb3.py '{"recipe": "ppo_cartpole", "num_envs": 8, "steps": 100000, …}'

With "goal" it stops when 100 training games in a row average that, and prints the seconds and the steps until then.
"""

import json
import sys
import time

import numpy as np
import stable_baselines3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecFrameStack

s = json.loads(sys.argv[1])
algorithm = s["recipe"].split("_")[0].upper()
on_policy = algorithm in ("A2C", "PPO")


class Clock(BaseCallback):
    """Notes when the warm-up is over, and ends training at the goal."""

    start = None

    def _on_training_start(self):
        self.begin = time.perf_counter()

    def _on_step(self):
        if self.start is None and self.num_timesteps >= s["warm_up"]:
            self.start, self.steps = time.perf_counter(), self.num_timesteps
        returns = [game["r"] for game in self.model.ep_info_buffer]  # of the last 100 games
        return "goal" not in s or len(returns) < 100 or np.mean(returns) < s["goal"]


def world():
    """The policy and its environments."""
    if not s["env_id"].startswith("ALE/"):
        envs = make_vec_env(s["env_id"], n_envs=s["num_envs"], seed=s["seed"])
        return {"policy": "MlpPolicy", "env": envs, "policy_kwargs": {"net_arch": [s["hidden_units"]] * 2}}
    import ale_py  # noqa: F401  registers the games

    settings = {"frameskip": 1, "repeat_action_probability": 0}  # the wrappers skip frames
    envs = make_atari_env(s["env_id"], s["num_envs"], seed=s["seed"], env_kwargs=settings)
    return {"policy": "CnnPolicy", "env": VecFrameStack(envs, 4)}


def of_policies():
    """Settings of A2C and PPO."""
    found = {
        "n_steps": s["rollout_length"],
        "gae_lambda": s["gae_lambda"],
        "ent_coef": s["entropy_weight"],
        "vf_coef": s["value_weight"],
        "max_grad_norm": s["max_gradient_norm"],
    }
    if algorithm == "PPO":
        found |= {"n_epochs": s["epochs"], "batch_size": s["batch_size"], "clip_range": s["clip_range"]}
    return found


def of_values():
    """Settings of DQN, DDPG, TD3 and SAC, which have a replay memory."""
    found = {
        "buffer_size": s["buffer_size"],
        "batch_size": s["batch_size"],
        "learning_starts": s["learning_starts"],
        "train_freq": max(1, s["train_interval"] // s["num_envs"]),  # in steps of the vector of environments
        "gradient_steps": s["updates"],
    }
    if algorithm == "DQN":
        found |= {
            "n_steps": s["n_step"],
            # Also counted in environment steps, while the recipes count updates.
            "target_update_interval": s["train_interval"] * s["target_interval"] // s["updates"],
            "exploration_fraction": min(1.0, s["epsilon_decay_steps"] / s["steps"]),
            "exploration_final_eps": s["epsilon_final"],
            "max_grad_norm": 10,
        }
        return found
    found["tau"] = s["tau"]
    if algorithm == "SAC":
        return {**found, "target_entropy": s["target_entropy"]}
    found["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, s["exploration_noise"]))
    if algorithm == "TD3":
        found |= {"target_policy_noise": s["target_noise"], "target_noise_clip": s["noise_clip"]}
        found["policy_delay"] = s["policy_delay"]
    return found


model = getattr(stable_baselines3, algorithm)(
    **world(),
    **(of_policies() if on_policy else of_values()),
    learning_rate=(lambda left: left * s["learning_rate"]) if s.get("falls") else s["learning_rate"],
    gamma=s["gamma"],
    seed=s["seed"],
    device="cpu",
)
clock = Clock()
model.learn(s["steps"], callback=clock)
end = time.perf_counter()
if "goal" in s:
    print(json.dumps([end - clock.begin if model.num_timesteps < s["steps"] else None, model.num_timesteps]))
else:
    print(json.dumps((model.num_timesteps - clock.steps) / (end - clock.start)))
