"""Units that die in DQN's first minutes on Pong, for initial weights of He and of Glorot, and two epsilons of Adam.

A rectified unit is dead where no screen makes it positive: it has no slope, so nothing brings it back. Each run plays
45 games, about 45,000 steps, on one core. Afterwards random play shows 320 screens to the network, and the share of
outputs of a layer that were positive at least once is what is alive. Beside it is the loss of the last 20 games: a
network that says the same of every screen keeps the loss of the start.

Writes book/results/dqn_atari/dead_units.json after every run, and at the end a table in the recipe's page. What is in
the JSON file already is not run again. Refuses a tree with changes that no commit holds.

    python benchmarks/dead_units.py [texts]
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from results import between_marks, clean_tree

from common.files import read_episodes, write_json, write_text
from common.lazy import keras
from common.machine import commit, processor
from envs.atari import make_atari
from recipes import dqn_atari

ROOT = Path(__file__).parent.parent
PATH, PAGE = ROOT / "book" / "results" / "dqn_atari" / "dead_units.json", ROOT / "book" / "dqn_atari.md"
SEEDS = range(1000, 1003)
SETTINGS = {
    "episodes": 45, "n_step": 3, "learning_rate": 2e-4, "train_interval": 8, "epsilon_decay_steps": 150_000,
    "eval_interval": 0, "eval_episodes": 0,
}  # fmt: skip
# name → initial weights, epsilon of Adam
VARIANTS = {
    "He, 1.5e-4: the recipe": ("he_uniform", 1.5e-4),
    "He, 1e-7": ("he_uniform", 1e-7),
    "Glorot, 1.5e-4": ("glorot_uniform", 1.5e-4),
    "Glorot, 1e-7: Keras' defaults": ("glorot_uniform", 1e-7),
}
LAYERS = ("first convolution", "second", "third", "dense")


def alive(model, screens):
    """The share of outputs of each hidden layer that some screen makes positive, [layers]; screens [B, ...]."""
    hidden = [layer.output for layer in model.layers if getattr(layer, "kernel", None) is not None][:-1]
    outputs = keras.tree.flatten(keras.Model(model.inputs, hidden).predict(screens, verbose=0))
    return [float((np.reshape(output, (len(screens), -1)) > 0).any(axis=0).mean()) for output in outputs]


def seen(steps=400):
    """Screens of random play, every tenth step of eight games, [B, stack, height, width]."""
    envs, rng = make_atari("ALE/Pong-v5", 8), np.random.default_rng(0)
    envs.reset(seed=0)
    screens = [envs.step(rng.integers(6, size=8))[0] for _ in range(steps)]
    envs.close()
    return np.concatenate(screens[9::10])


def one(name, seed):
    """Train a variant on a seed and print what came of it as JSON."""
    weights, epsilon = VARIANTS[name]
    build = dqn_atari.build_q_network

    def build_with_these(*shape):
        model = build(*shape)
        for layer in model.layers[:-1]:
            if getattr(layer, "kernel", None) is not None:
                layer.kernel.assign(keras.initializers.get(weights)(layer.kernel.shape))
        return model

    dqn_atari.build_q_network = build_with_these
    dqn_atari.build_optimizer = lambda _, learning_rate: keras.optimizers.Adam(learning_rate, epsilon=epsilon)
    with tempfile.TemporaryDirectory() as folder:
        run = dqn_atari.train(**SETTINGS, seed=seed, logdir=f"{folder}/run")
        loss = read_episodes(run)["mean_loss"][-20:].mean()
        shares = alive(keras.models.load_model(run / "model.keras"), seen())
    print(json.dumps({"seed": seed, "loss": loss, "alive": shares, "processor": processor(), "git_commit": commit()}))


def measure(name, seed):
    """`one` in a process of its own on one core."""
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    command = [sys.executable, __file__, "one", name, str(seed)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | one_core)
    return json.loads(done.stdout.splitlines()[-1])


def table(results):
    """Markdown, a row for each variant, median (lowest to highest) over the seeds."""
    heads = ("initial weights, epsilon of Adam", *LAYERS, "loss")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, runs in results.items():
        columns = [*zip(*(run["alive"] for run in runs), strict=True)]
        cells = [f"{np.median(of):.0%} ({min(of):.0%} to {max(of):.0%})" for of in columns]
        losses = [run["loss"] for run in runs]
        loss = f"{np.median(losses):.4f} ({min(losses):.4f} to {max(losses):.4f})"
        lines.append(f"| {name} | " + " | ".join([*cells, loss]) + " |")
    return "\n".join(lines)


def with_table(page, results):
    """The text of the page with the table between its marks."""
    return between_marks(page, "dead units", table(results))


def run_all():
    """Run what is missing, as many runs at once as there are cores, and write the table."""
    results = json.loads(PATH.read_text()) if PATH.exists() else {}
    missing = [(name, seed) for name in VARIANTS for seed in SEEDS[len(results.get(name, [])) :]]
    if missing:
        clean_tree()
        PATH.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, seed), run in zip(missing, pool.map(lambda job: measure(*job), missing), strict=True):
            results.setdefault(name, []).append(run)
            write_json(PATH, results)
            print(f"{name}, seed {seed}: alive {np.round(run['alive'], 2)}, loss {run['loss']:.4f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], int(sys.argv[3]))
    else:
        if sys.argv[1:] != ["texts"]:
            run_all()
        write_text(PAGE, with_table(PAGE.read_text(), json.loads(PATH.read_text())))
