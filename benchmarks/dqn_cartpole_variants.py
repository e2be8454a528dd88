"""What each setting of recipes/dqn_cartpole.py is worth: one changed at a time, five seeds each.

Measured is the mean return of 100 greedy games at the end of a run. A change is a flag, or a piece of the recipe that
is replaced in a copy. Every run is a process on one core; as many run at once as there are cores.

Writes book/results/dqn_cartpole/variants.md and .json; refuses a tree with changes that no commit holds.

    python benchmarks/dqn_cartpole_variants.py
"""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from bars import one_run
from five_seeds import clean_tree

from common.files import write_json, write_text
from common.machine import commit, processor

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results" / "dqn_cartpole"
SEEDS = 5
IMPORT = "from common.networks import mlp"
# name → flags, piece of the recipe → its replacement
VARIANTS = {
    "as it is": ("", {}),
    "Huber's loss": ("", {"tf.square(y - q)": "huber(y - q)", IMPORT: f"from common.losses import huber\n{IMPORT}"}),
    "gradients as long as they are": ("", {", global_clipnorm=10.0": ""}),
    "rounds of 128 updates every 256 steps": ("--train_interval=256 --minibatches=128 --target_interval=128", {}),
    "1 reward before the bootstrap": ("--n_step=1", {}),
    "a memory of 100,000 steps": ("--buffer_size=100000", {}),
    "a constant learning rate": ("--learning_rate_decay_steps=1000000000", {}),
}  # fmt: skip


def changed(text, replacements):
    """The recipe with each piece replaced, which must be there once."""
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def measure(name, seed):
    """The score of one run."""
    flags, replacements = VARIANTS[name]
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "dqn_cartpole.py"
        write_text(recipe, changed((ROOT / "recipes" / "dqn_cartpole.py").read_text(), replacements))
        return one_run(f"{recipe} {flags}", seed, Path(folder) / "run")["score"]


def table(scores):
    """Markdown, one row for each variant."""
    lines = ["| changed | seeds at 500 | lowest | mean of the seeds |", "|---|---|---|---|"]
    for name, of in scores.items():
        lines.append(f"| {name} | {np.sum(np.array(of) == 500)} of {len(of)} | {min(of):.2f} | {np.mean(of):.2f} |")
    return "\n".join(lines)


def compare():
    """Run every variant on every seed."""
    clean_tree()
    jobs = [(name, seed) for name in VARIANTS for seed in range(SEEDS)]
    scores = {name: [] for name in VARIANTS}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, seed), score in zip(jobs, pool.map(lambda job: measure(*job), jobs), strict=True):
            scores[name].append(score)
            print(f"{name}, seed {seed}: {score:.2f}", flush=True)
    about = f"Made by `python benchmarks/dqn_cartpole_variants.py` on {processor()}."
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / "variants.json", {"git_commit": commit(), "scores": scores})
    write_text(RESULTS / "variants.md", f"{table(scores)}\n\n{about}\n")


if __name__ == "__main__":
    compare()
