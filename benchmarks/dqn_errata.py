"""What two differences from the text are worth, on the image probe: `PixelChoice`, best score 4, blind score 2.

Greedy score over 40 games after 240 games of training, and the mean score of those 240 while training, which tells how
fast it went; mean and range over seeds.

    python benchmarks/dqn_errata.py [--seeds=5]
"""

import json
import tempfile

import fire
import numpy as np

from common.files import read_episodes
from recipes import dqn_atari

SETTINGS = {
    "env_id": "probes/PixelChoice-v0", "episodes": 240, "buffer_size": 2000, "learning_starts": 200,
    "epsilon_decay_steps": 400, "target_interval": 20, "eval_episodes": 40, "eval_epsilon": 0.0,
}  # fmt: skip


def score(**changes):
    """Mean greedy score after one training, and mean score while training."""
    with tempfile.TemporaryDirectory() as folder:
        dqn_atari.train(**{**SETTINGS, **changes}, logdir=f"{folder}/run")
        with open(f"{folder}/run/evaluation.json") as file:
            greedy = np.mean(json.load(file)["scores"])
        return greedy, read_episodes(f"{folder}/run")["episode_return"].mean()


def on_the_next_state(make_update):
    """The text's update: the state acted in is replaced by the next one."""

    def make(model, target, optimizer):
        update = make_update(model, target, optimizer)
        return lambda obs, action, reward, discount, next_obs: update(next_obs, action, reward, discount, next_obs)

    return make


def compare(seeds=5):
    """Print one line per variant."""
    repaired = dqn_atari.make_update
    variants = {
        "repaired, Adam 3e-4": ({"learning_rate": 3e-4}, repaired),
        "as printed: on the next state, Adam 3e-4": ({"learning_rate": 3e-4}, on_the_next_state(repaired)),
        "repaired, Adam 1e-4 (default)": ({"learning_rate": 1e-4}, repaired),
        "repaired, RMSProp as the text sets it": ({"learning_rate": 2.5e-4, "optimizer": "rmsprop"}, repaired),
    }
    for name, (changes, make_update) in variants.items():
        dqn_atari.make_update = make_update
        scores = np.array([score(**changes, seed=seed) for seed in range(seeds)])  # [seeds, 2]
        for what, values in zip(("greedy", "while training"), scores.T, strict=True):
            print(f"{name}, {what}: {values.mean():.2f} ({values.min():.2f} to {values.max():.2f}, {seeds} seeds)")


if __name__ == "__main__":
    fire.Fire(compare)
