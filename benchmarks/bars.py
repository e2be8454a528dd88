"""The scores that others publish, at their number of steps: which recipe reaches them, on how many seeds?

Where a recipe's defaults are for the task, its runs are those of benchmarks/results.py. Every other run is a command
with the settings below, in a process of its own on one core, and the result is the mean return of 100 greedy games at
its end. Seeds 0 to 9, or fewer (`FEWER`); the settings were chosen on seeds from 100 on.

Writes book/results/bars.json after every run, and at the end book/results/bars.md and the tables between marks in
README and pages. What is in the JSON file already is not run again unless its task is named, or its task and recipe.
Refuses a tree with changes that no commit holds.

    python benchmarks/bars.py [all | task | task:recipe ...]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
from results import ZOO, clean_tree, read_results

from common.files import read_episodes, write_text

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
SEEDS = 10
FEWER = {"LunarLanderContinuous-v3": 3}  # where a run takes more than ten minutes

# task → its world, the bar, where it comes from
BOX2D = "`pip install -e .[box2d]` brings the world"
BARS = {
    "CartPole-v1": ("CartPole-v1", 500, f"DQN in 50,000 steps, {ZOO}"),
    "CartPoleNoVelocity-v1": ("CartPoleNoVelocity-v1", 475, "the goal of CartPole-v1, here without its velocities"),
    "CartPole-v1-100k": ("CartPole-v1", 500, f"PPO in 100,000 steps, {ZOO}"),
    "CartPole-v1-500k": ("CartPole-v1", 500, f"A2C in 500,000 steps, {ZOO}"),
    "MaskedGridworld-v0": (
        "MaskedGridworld-v0",
        -5,
        "two steps more than the shortest ways, which take 3.03 on average",
    ),
    "Pendulum-v1": ("Pendulum-v1", -152, f"DDPG and TD3 in 20,000 steps, where SAC has -157, {ZOO}"),
    "Acrobot-v1-1M": ("Acrobot-v1", -83, f"PPO in 1,000,000 steps, a goal of our own; {ZOO} has -73.5, one run"),
    "LunarLander-v3-1M": ("LunarLander-v3", 242, f"PPO in 1,000,000 steps (LunarLander-v2), {ZOO}; {BOX2D}"),
    "Pendulum-v1-100k": ("Pendulum-v1", -165, f"PPO in 100,000 steps, a goal of our own; {ZOO} has -172.2, one run"),
    "LunarLanderContinuous-v3": (
        "LunarLanderContinuous-v3",
        260,
        f"SAC in 500,000 steps (LunarLanderContinuous-v2), {ZOO}; {BOX2D}",
    ),
    "Acrobot-v1": ("Acrobot-v1", -76, f"DQN in 100,000 steps has -76.6 and QR-DQN -69.1, one run each, {ZOO}"),
    "MountainCar-v0": ("MountainCar-v0", -101, f"DQN in 120,000 steps, {ZOO}"),
    "LunarLander-v3": ("LunarLander-v3", 154, f"DQN in 100,000 steps (LunarLander-v2), {ZOO}; {BOX2D}"),
}
FAMILY = (
    "dqn_cartpole", "double_dqn_cartpole", "dueling_dqn_cartpole", "prioritized_dqn_cartpole", "c51_cartpole",
    "qr_dqn_cartpole", "pqn_cartpole",
)  # fmt: skip
LARGER = (  # an update per step instead of one per two steps, of a larger network from a larger memory
    "--steps=100000 --learning_rate=6.3e-4 --learning_rate_decay_steps=100000 --epsilon_final=0.1 "
    "--epsilon_decay_steps=12000 --hidden_units=256 --buffer_size=50000 --batch_size=128 --minibatches=64 "
    "--target_interval=256"
)
DENSE = (  # the same number of updates with a memory that forgets nothing and less exploration
    "--steps=100000 --learning_rate=5e-4 --learning_rate_decay_steps=100000 --epsilon_final=0.05 "
    "--epsilon_decay_steps=12000 --hidden_units=256 --buffer_size=100000 --batch_size=128 --minibatches=64 "
    "--target_interval=256"
)
SWINGS = (  # one environment, half as many updates as steps, of a larger network from a small memory
    "--steps=120000 --num_envs=1 --learning_rate_decay_steps=120000 --epsilon_final=0.07 "
    "--epsilon_decay_steps=24000 --hidden_units=256 --buffer_size=10000 --batch_size=128 --train_interval=16 "
    "--minibatches=8 --target_interval=300 --gamma=0.98"
)
MILLION = (  # more games and longer rollouts, fewer passes
    "--steps=1000000 --learning_rate_decay_steps=1000000 --num_envs=16 --rollout_length=256 --batch_size=64 --epochs=4"
)
# task → recipe → flags, or None where its defaults are for this task
SETTINGS = {
    "CartPole-v1": dict.fromkeys(FAMILY),
    "CartPoleNoVelocity-v1": {"drqn_cartpole": None, "dqn_cartpole": ""},
    "CartPole-v1-100k": {"ppo_cartpole": "--gamma=0.98 --gae_lambda=0.8"},
    "CartPole-v1-500k": {"a2c_cartpole": None},
    "MaskedGridworld-v0": {"masked_ppo_gridworld": None, "ppo_cartpole": ""},
    "Pendulum-v1": {"ddpg_pendulum": None, "td3_pendulum": None, "sac_pendulum": None},
    "Pendulum-v1-100k": {"ppo_pendulum": None},
    "LunarLanderContinuous-v3": {
        "sac_pendulum": "--steps=500000 --buffer_size=500000 --learning_starts=10000 --target_entropy=-2 "
        "--learning_rate=5e-4 --gamma=0.99 --save_interval=100000"
    },
    "Acrobot-v1-1M": {"ppo_cartpole": f"{MILLION} --learning_rate=3e-4 --gae_lambda=0.94"},
    "Acrobot-v1": {
        "c51_cartpole": f"{DENSE} --v_min=-100 --v_max=0 --n_step=5",
        "dqn_cartpole": f"{DENSE} --n_step=5",
    },
    "MountainCar-v0": {"c51_cartpole": f"{SWINGS} --learning_rate=1e-3 --v_min=-50 --v_max=0"},
    "LunarLander-v3": {"dqn_cartpole": LARGER},
    "LunarLander-v3-1M": {
        "pqn_cartpole": "--steps=1000000 --learning_rate_decay_steps=1000000 --epsilon_final=0.05 "
        "--epsilon_decay_steps=200000 --hidden_units=128 --rollout_length=64 --epochs=4 --batch_size=64 --gamma=0.995",
        "ppo_cartpole": f"{MILLION} --learning_rate=1e-3 --gamma=0.999 --gae_lambda=0.98 --entropy_weight=0.01",
    },
}


def seeds_of(name):
    """How many seeds a `task:recipe` is run with."""
    return FEWER.get(name.split(":")[0], SEEDS)


def one_run(words, seed, folder):
    """A recipe with its flags, run on one core into this folder → its score and what it took."""
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    environment = os.environ | one_core | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, *words.split(), "--eval_interval=0", f"--seed={seed}", f"--logdir={folder}"]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=environment)
    episodes, config = read_episodes(folder), json.loads((folder / "config.json").read_text())
    return {
        "seed": seed,
        "score": float(np.mean(json.loads((folder / "evaluation.json").read_text())["scores"])),
        "steps": int(episodes["step"][-1]),
        "seconds": float(episodes["seconds"][-1]),
        "processor": config["machine"]["processor"],
        "git_commit": config["git_commit"],
    }


def measure(task, recipe, seed):
    """One run of the command of the task and the recipe."""
    with tempfile.TemporaryDirectory() as parent:
        return one_run(command(task, recipe).removeprefix("python "), seed, Path(parent) / "run")


def as_runs(of):
    """The runs of a recipe's defaults, as benchmarks/results.py has them, in the form of `one_run`."""
    processor = of["machine"]["processor"]
    columns = zip(of["value"], of["seconds"], strict=True)
    return [{"score": float(score), "seconds": seconds, "processor": processor} for score, seconds in columns]


def command(task, recipe):
    """What one types, without seed and folder."""
    flags = SETTINGS[task][recipe]
    return f"python recipes/{recipe}.py" + ("" if flags is None else f" --env_id={BARS[task][0]} {flags}".rstrip())


def budget(task, recipe):
    """The environment steps of the command of the task and the recipe."""
    flag = re.search(r"--steps=(\d+)", command(task, recipe))
    return int(flag[1]) if flag else signature(import_module(f"recipes.{recipe}").train).parameters["steps"].default


def table(task, results):
    """Markdown: one row for each recipe, the best first."""
    _, bar, _ = BARS[task]
    lines = [
        f"| recipe | seeds at {bar} or more | mean | lowest | median | highest | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    scores = {recipe: np.array([run["score"] for run in runs]) for recipe, runs in results.items()}
    for recipe, of in sorted(scores.items(), key=lambda row: -row[1].mean()):
        spread = " | ".join(f"{value:.2f}" for value in (of.mean(), of.min(), np.median(of), of.max()))
        seconds = np.median([run["seconds"] for run in results[recipe]])
        lines.append(f"| `{recipe}` | {(of >= bar).sum()} of {len(of)} | {spread} | {seconds:.0f} |")
    return "\n".join(lines)


HEAD = """# Public bars

Made by `python benchmarks/bars.py`. Each score is the mean return of 100 greedy games at the end of a run with the
command shown; mean, lowest, median and highest are over the seeds. A command without flags has the runs of
[README.md](README.md), seeds from 1000 on. The others have the seeds 0 to 9, on LunarLanderContinuous-v3 0 to 2, and
their raw figures are in `bars.json`; their settings were chosen on seeds from 100 on. All of these but PPO on CartPole,
Acrobot in 100,000 steps, MountainCar and PQN are of a time when neighbouring seeds played nearly the same 100 games, so
the spread over the seeds is too small there. The other runs of PPO are of a time when its last round had the learning
rate 0.

Seconds: of training, median, with the evaluations in between for commands without flags; each run has one core, and two
run at once; the first two on LunarLanderContinuous-v3 shared one. Where other programs ran beside them they are more
than an idle machine takes.
"""


def run_all(*again):
    """Run what is missing or named, as many runs at once as there are cores."""
    path = RESULTS / "bars.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    names = [f"{task}:{recipe}" for task, of in SETTINGS.items() for recipe, flags in of.items() if flags is not None]
    chosen = [name for name in names if "all" in again or {name, name.split(":")[0]} & {*again}]
    if unknown := sorted({*again} - {"all", *SETTINGS, *names}):
        sys.exit(f"no such runs: {' '.join(unknown)}. There are: {' '.join(names)}")
    results = {name: [] if name in chosen else results.get(name, []) for name in names}
    missing = [(name, seed) for name in names for seed in range(len(results[name]), seeds_of(name))]
    if missing:
        clean_tree()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda job: measure(*job[0].split(":"), job[1]), missing)
        for (name, _), run in zip(missing, runs, strict=True):  # in order, so a list's place is its seed
            results[name].append(run)
            write_text(path, json.dumps(results, indent=1) + "\n")
            print(f"{name}, seed {run['seed']}: {run['score']:.2f} in {run['seconds']:.1f} s", flush=True)
    for path, text in texts(results).items():
        write_text(path, text)


MARKED = re.compile(r"<!-- bars of ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
IN_SHORT = re.compile(r"<!-- bars in short -->\n.*?<!-- end -->", re.DOTALL)


def in_short(tasks):
    """Markdown: one row for each recipe of each task, its world, steps, score and time."""
    lines = ["| world | recipe | steps | mean, lowest of the seeds | training |", "|---|---|---|---|---|"]
    for task, of in tasks.items():
        for recipe, runs in of.items():
            scores, seconds = [run["score"] for run in runs], np.median([run["seconds"] for run in runs])
            time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
            score = f"{np.mean(scores):.2f}, {min(scores):.2f}"
            lines.append(f"| {BARS[task][0]} | `{recipe}` | {budget(task, recipe):,} | {score} | {time} |")
    return "\n".join(lines)


def texts(results):
    """Every text that shows these results → its content with the figures as they are in the results."""
    defaults = read_results()
    tasks = {
        task: {
            recipe: as_runs(defaults[recipe]) if flags is None else results[f"{task}:{recipe}"]
            for recipe, flags in of.items()
        }
        for task, of in SETTINGS.items()
    }
    parts = [HEAD]
    for task, of in tasks.items():
        world, bar, source = BARS[task]
        commands = "\n".join(command(task, recipe) for recipe in of)
        on = "; ".join(
            sorted({run.get("processor", "a processor that was not noted") for runs in of.values() for run in runs})
        )
        parts.append(
            f"## {world}: {bar}\n\nThe bar: {source}. On {on}:\n\n{table(task, of)}\n\n```bash\n{commands}\n```\n"
        )
    found = {RESULTS / "bars.md": "\n".join(parts)}
    for page in (ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))):
        if IN_SHORT.search(page.read_text()):
            found[page] = IN_SHORT.sub(f"<!-- bars in short -->\n{in_short(tasks)}\n<!-- end -->", page.read_text())
        elif MARKED.search(page.read_text()):
            marked = lambda m: f"<!-- bars of {m[1]} -->\n{table(m[1], tasks[m[1]])}\n<!-- end -->"  # noqa: E731
            found[page] = MARKED.sub(marked, page.read_text())
    return found


if __name__ == "__main__":
    run_all(*sys.argv[1:])
