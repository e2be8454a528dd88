"""Stable-Baselines3 with the settings of a recipe; prints its training steps per second, or when it reached a score.

Started by bench.py in the environment that has Stable-Baselines3, with what bench.py took from the recipe's signature:

    .venv-sb3/bin/python benchmarks/sb3.py '{"recipe": "ppo_cartpole", "num_envs": 8, "steps": 100000, …}'

With "goal" it stops when 100 training games in a row average that, and prints the seconds until then, or null.
"""

import json
import sys
import time

import numpy as np

GAMES = 100


def falling(value, s):
    """A constant, or with "decay_steps" a number that falls linearly to 0 within so many steps and stays there."""
    if "decay_steps" not in s:
        return value
    return lambda left: value * max(0.0, 1 - (1 - left) * s["steps"] / s["decay_steps"])  # `left`: share of the steps


def arguments(s):
    """What Stable-Baselines3 calls the settings of a recipe, but for the world, the noise and the device.

    Its replay algorithms count `train_freq` in steps of the vector of environments, and `target_update_interval` in
    environment steps, where the recipes count updates.
    """
    algorithm = s["recipe"].split("_")[0]
    found = {"learning_rate": falling(s["learning_rate"], s), "gamma": s["gamma"], "seed": s["seed"]}
    if algorithm in ("a2c", "ppo"):
        found |= {"n_steps": s["rollout_length"], "gae_lambda": s["gae_lambda"], "ent_coef": s["entropy_weight"]}
        found |= {"vf_coef": s["value_weight"], "max_grad_norm": s["max_gradient_norm"]}
        if algorithm == "a2c":
            return {**found, "use_rms_prop": False}  # Adam, as the recipe has
        found |= {"n_epochs": s["epochs"], "batch_size": s["batch_size"]}
        return {**found, "clip_range": falling(s["clip_range"], s)}
    found |= {"buffer_size": s["buffer_size"], "batch_size": s["batch_size"], "learning_starts": s["learning_starts"]}
    found |= {"train_freq": max(1, s["train_interval"] // s["num_envs"]), "gradient_steps": s["updates"]}
    if algorithm == "dqn":
        return {
            **found,
            "n_steps": s["n_step"],
            "target_update_interval": s["train_interval"] * s["target_interval"] // s["updates"],
            "exploration_fraction": min(1.0, s["epsilon_decay_steps"] / s["steps"]),
            "exploration_final_eps": s["epsilon_final"],
            "max_grad_norm": float("inf") if s["recipe"] == "dqn_atari" else 10,
        }
    found["tau"] = s["tau"]
    if algorithm == "sac":
        return {**found, "target_entropy": s["target_entropy"]}
    if algorithm == "td3":
        found |= {"target_policy_noise": s["target_noise"], "target_noise_clip": s["noise_clip"]}
        found["policy_delay"] = s["policy_delay"]
    return found


def world(s):
    """The policy and its environments, which Stable-Baselines3 steps one after the other."""
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if not s["env_id"].startswith("ALE/"):
        envs = make_vec_env(s["env_id"], n_envs=s["num_envs"], seed=s["seed"])
        return {"policy": "MlpPolicy", "env": envs, "policy_kwargs": {"net_arch": [s["hidden_units"]] * 2}}
    import ale_py  # noqa: F401  registers the games

    settings = {"frameskip": 1, "repeat_action_probability": 0}  # the wrappers skip frames
    envs = make_atari_env(s["env_id"], s["num_envs"], seed=s["seed"], env_kwargs=settings)
    return {"policy": "CnnPolicy", "env": VecFrameStack(envs, 4)}


def main(s):
    """Train, and print what was asked for."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.noise import NormalActionNoise

    class Clock(BaseCallback):
        """Notes where the warm-up is over, between two rounds of updates, and ends training at the goal."""

        start = None

        def _on_training_start(self):
            self.begin = time.perf_counter()

        def _on_rollout_start(self):
            if self.start is None and self.num_timesteps >= s["warm_up"]:
                self.start, self.steps = time.perf_counter(), self.num_timesteps

        def _on_step(self):
            if "goal" not in s or len(self.model.ep_info_buffer) < GAMES:
                return True
            return np.mean([game["r"] for game in self.model.ep_info_buffer]) < s["goal"]  # of the last 100 games

    algorithm, own = s["recipe"].split("_")[0].upper(), arguments(s)
    if algorithm in ("DDPG", "TD3"):
        own["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, s["exploration_noise"]))
    model, clock = getattr(stable_baselines3, algorithm)(**world(s), **own, device="cpu"), Clock()
    model.learn(s["steps"], callback=clock)
    end = time.perf_counter()
    if "goal" in s:
        print(json.dumps(end - clock.begin if model.num_timesteps < s["steps"] else None))
    else:
        print((model.num_timesteps - clock.steps) / (end - clock.start))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
