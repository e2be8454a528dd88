"""What each part of PQN on CartPole is worth: the recipe's defaults with one part changed at a time.

Per variant the mean return of 100 greedy games after 35,000 steps, seed by seed, their mean, and the range of the
largest q over the observations that a policy of random actions meets; no q can be above 1 / (1 - gamma) = 100.

    python benchmarks/pqn_ablation.py [--seeds=5]
"""

import json
import tempfile

import fire
import gymnasium as gym
import numpy as np

from common.lazy import keras
from recipes import pqn_cartpole as recipe

MLP = recipe.mlp


def without_normalisation(*args, normalize, **settings):
    return MLP(*args, **settings)


# name → changes of the settings, trunk of the network
VARIANTS = {
    "defaults": ({}, MLP),
    "no layer normalisation": ({}, without_normalisation),
    "lambda 0": ({"q_lambda": 0.0}, MLP),
    "lambda 1": ({"q_lambda": 1.0}, MLP),
    "1 epoch": ({"epochs": 1}, MLP),
}


def random_observations(count=1000):
    """What `count` random actions show, [count, D]."""
    envs = gym.make_vec("CartPole-v1", num_envs=10)
    rng = np.random.default_rng(0)
    envs.reset(seed=0)
    return np.concatenate([envs.step(rng.integers(2, size=10))[0] for _ in range(count // 10)])


def measure(obs, **changes):
    """Mean greedy score after one training, and its largest q."""
    with tempfile.TemporaryDirectory() as folder:
        run = recipe.train(logdir=f"{folder}/run", eval_interval=0, save_interval=10**6, **changes)
        scores = json.loads((run / "evaluation.json").read_text())["scores"]
        return np.mean(scores), np.max(keras.models.load_model(run / "model.keras")(obs))


def compare(seeds=5):
    """Print one line per variant."""
    obs = random_observations()
    for name, (changes, trunk) in VARIANTS.items():
        recipe.mlp = trunk
        scores, largest = np.transpose([measure(obs, seed=seed, **changes) for seed in range(seeds)])
        each = ", ".join(f"{score:g}" for score in scores)
        largest = f"largest q {largest.min():.0f} to {largest.max():.0f}"
        print(f"{name}: {each}; mean {scores.mean():.1f}; {largest}", flush=True)


if __name__ == "__main__":
    fire.Fire(compare)
