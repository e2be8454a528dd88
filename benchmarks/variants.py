"""What each setting of a recipe is worth: one changed at a time, over several seeds.

Measured are the mean return of 100 greedy games at the end of a run, and the steps until the last 20 games of training
averaged 475. A change is a flag, or a piece of the recipe that is replaced in a copy. Every run is a process on one
core; as many run at once as there are cores.

Writes book/results/<recipe>/variants.json after every run, and at the end variants.md, variants.png with the learning
curves, and the table in the recipe's page. What is in the JSON file already is not run again, except with --again.
Refuses a tree with changes that no commit holds.

    python benchmarks/variants.py dqn_cartpole [--again]
    python benchmarks/variants.py a2c_cartpole [--again]
    python benchmarks/variants.py ppo_cartpole [--again]
    python benchmarks/variants.py compiled_actor_critic_cartpole [--again]
    python benchmarks/variants.py reinforce_dropout_cartpole [--again]   # exercise 3.1 of Neuromatch's tutorial W3D4
    python benchmarks/variants.py actor_critic_two_networks [--again]    # its exercises 3.2.1 and 3.2.2
"""

import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fire
import numpy as np
from bars import one_run
from results import clean_tree

from common.files import read_episodes, write_json, write_text
from common.machine import commit, processor
from common.plots import plot_runs, smoothed

ROOT = Path(__file__).parent.parent
IMPORT = "from common.networks import mlp"
# recipe → seeds
SEEDS = {
    "dqn_cartpole": 10, "a2c_cartpole": 5, "ppo_cartpole": 10, "compiled_actor_critic_cartpole": 10,
    "reinforce_dropout_cartpole": 5, "actor_critic_two_networks": 5,
}  # fmt: skip
# recipe → name → flags, piece of the recipe → its replacement
VARIANTS = {
    "dqn_cartpole": {
        "as it is": ("", {}),
        "Huber's loss": (
            "",
            {"tf.square(y - q)": "huber(y - q)", IMPORT: f"from common.losses import huber\n{IMPORT}"},
        ),
        "gradients not clipped": ("", {", global_clipnorm=10.0": ""}),
        "rounds of 128 updates every 256 steps": ("--train_interval=256 --minibatches=128 --target_interval=128", {}),
        "1 reward before the bootstrap": ("--n_step=1", {}),
        "a memory of 100,000 steps": ("--buffer_size=100000", {}),
        "a constant learning rate": ("--learning_rate_decay_steps=1000000000", {}),
        "minibatches of 128": ("--batch_size=128", {}),
        "256 units in each layer": ("--hidden_units=256", {}),
        "gamma 0.98": ("--gamma=0.98", {}),
    },
    "a2c_cartpole": {
        "as it is": ("", {}),
        "the critic without a scale": ("--value_scale=1 --value_weight=0.5", {}),
        "the critic's loss with the weight 0.5": ("--value_weight=0.5", {}),
        "rollouts of 5 steps": ("--rollout_length=5", {}),
        "lambda 1": ("--gae_lambda=1", {}),
        "an entropy bonus of 0.01": ("--entropy_weight=0.01", {}),
    },
    "compiled_actor_critic_cartpole": {
        "as it is": ("", {}),
        "the critic without a scale": ("--value_scale=1", {}),
        "the same, learning rate 5e-3": ("--value_scale=1 --learning_rate=5e-3", {}),
        "the critic's loss with the weight 1e-4": ("--value_weight=1e-4", {}),
        "advantages not standardised": ("", {"        advantage = standardize(advantage)\n": ""}),
    },
    "ppo_cartpole": {
        "as it is": ("", {}),
        "Glorot's initial weights": ("--orthogonal=false", {}),
        "Adam's epsilon 1e-7": ("--adam_epsilon=1e-7", {}),
        "advantages not standardised": ("--normalize_advantage=false", {}),
        "values clipped at 0.2": ("--value_clip_range=0.2", {}),
        "gradients not clipped": ("--max_gradient_norm=1e9", {}),
        "a constant learning rate": ("--learning_rate_decay_steps=1000000000", {}),
        "a round ends at a divergence of 0.02": ("--target_kl=0.02", {}),
        "an entropy bonus of 0.01": ("--entropy_weight=0.01", {}),
        "ratios not clipped": ("--clip_range=1e9", {}),
        "1 pass over a rollout": ("--epochs=1", {}),
        "gamma 0.98, lambda 0.8": ("--gamma=0.98 --gae_lambda=0.8", {}),
    },
    "reinforce_dropout_cartpole": {
        "as it is": ("", {}),
        "learning rate 0.1": ("--learning_rate=0.1 --episodes=2000", {}),
        "learning rate 0.001": ("--learning_rate=0.001 --episodes=2000", {}),
        "gamma 0.9": ("--gamma=0.9 --episodes=2000", {}),
        "512 hidden units": ("--hidden_units=512", {}),
        "without dropout": ("--dropout=0", {}),
    },
    "actor_critic_two_networks": {
        "as it is": ("", {}),
        "500 games": ("--episodes=500", {}),
        "3,000 games": ("--episodes=3000 --solved_at=501", {}),
        "learning rate 0.1": ("--learning_rate=0.1 --episodes=2000", {}),
        "learning rate 0.001": ("--learning_rate=0.001 --episodes=2000", {}),
        "gamma 0.9": ("--gamma=0.9 --episodes=2000", {}),
    },
}


def changed(text, replacements):
    """The recipe with each piece replaced, which must be there once."""
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def steps_to(episodes, goal=475, games=20):
    """Environment steps until the mean return of the last games was the goal; None if it never was."""
    means = np.convolve(episodes["episode_return"], np.full(games, 1 / games), "valid")
    reached = np.flatnonzero(means >= goal - 1e-9)
    return int(episodes["step"][games - 1 :][reached[0]]) if len(reached) else None


def measure(recipe, name, seed):
    """One run."""
    flags, replacements = VARIANTS[recipe][name]
    with tempfile.TemporaryDirectory() as folder:
        copy, run = Path(folder) / f"{recipe}.py", Path(folder) / "run"
        write_text(copy, changed((ROOT / "recipes" / f"{recipe}.py").read_text(), replacements))
        done = one_run(f"{copy} {flags}", seed, run)
        step, mean = smoothed(run)
        points = np.linspace(step[0], step[-1], 100)
        curve = points.round().tolist(), np.interp(points, step, mean).round(1).tolist()
        return {**done, "steps_to_475": steps_to(read_episodes(run)), "curve": curve}


def table(results):
    """Markdown, one row for each variant."""
    lines = ["| changed | seeds at 500 | lowest | mean of the seeds | steps to 475, median |", "|---|---|---|---|---|"]
    for name, runs in results.items():
        scores, steps = np.array([run["score"] for run in runs]), [run["steps_to_475"] for run in runs]
        median = np.median([np.inf if step is None else step for step in steps])
        reached = f"{median:,.0f}" if np.isfinite(median) else "not reached"
        best = f"{(scores == 500).sum()} of {len(scores)}"
        lines.append(f"| {name} | {best} | {scores.min():.2f} | {scores.mean():.2f} | {reached} |")
    return "\n".join(lines)


def compare(recipe, again=False):
    """Run every variant on every seed."""
    clean_tree()
    folder = ROOT / "book" / "results" / recipe
    path = folder / "variants.json"
    saved = json.loads(path.read_text()) if path.exists() and not again else {}
    results = {name: saved.get(name, []) for name in VARIANTS[recipe]}
    missing = [(name, seed) for name in results for seed in range(len(results[name]), SEEDS[recipe])]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, seed), run in zip(missing, pool.map(lambda job: measure(recipe, *job), missing), strict=True):
            results[name].append(run)
            write_json(path, results)
            print(f"{name}, seed {seed}: {run['score']:.2f}, {run['steps_to_475']} steps", flush=True)
    about = f"Made by `python benchmarks/variants.py {recipe}` on {processor()}, commit {commit()[:8]}."
    curves = {
        name: [tuple(map(np.array, run["curve"])) for run in runs if "curve" in run] for name, runs in results.items()
    }
    if all(curves.values()):
        plot_runs(folder / "variants.png", curves, title=recipe)
    write_text(folder / "variants.md", f"{table(results)}\n\n{about}\n")
    page = ROOT / "book" / f"{recipe}.md"
    write_text(page, with_table(page.read_text(), recipe, results))


def with_table(page, recipe, results):
    """The text of a page with the table between its marks."""
    begin, end = f"<!-- variants of {recipe} -->\n", "<!-- end -->"
    before, rest = page.split(begin)
    return before + begin + table(results) + "\n" + end + rest.split(end, 1)[1]


if __name__ == "__main__":
    fire.Fire(compare)
