"""SAC on two robots of MuJoCo, one seed each: greedy evaluations on the way, beside Tianshou's at the same steps.

Each run has one core and takes about an hour. The world needs `pip install -e .[mujoco]`. Tianshou's figures are the
mean and the deviation over its ten seeds, on the v3 of each world (https://github.com/thu-ml/tianshou, its
examples/mujoco/benchmark/<world>/sac/test_rew_10seeds.csv). Its settings are here, too, but for the temperature, which
is 0.2 there and learned here, and for the rounds of 64 updates after every 64 steps of eight environments.

Writes book/results/sac_pendulum/mujoco.json and mujoco.png, and a table in the recipe's page. A run that was
interrupted goes on, and one that is done is not made again. Refuses a tree with changes that no commit holds.

    python benchmarks/robots.py [texts]
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fire
from results import between_marks, clean_tree

from common.files import read_csv, write_json, write_text
from common.plots import new_figure, save_figure

ROOT = Path(__file__).parent.parent
FOLDER, PAGE = ROOT / "book" / "results" / "sac_pendulum", ROOT / "book" / "sac_pendulum.md"
SEED = 1000
FLAGS = (
    "--steps=500000 --hidden_units=256 --batch_size=256 --gamma=0.99 --tau=0.005 --buffer_size=500000 "
    "--learning_starts=10000 --eval_interval=25000 --eval_episodes=10 --save_interval=25000"
)
# world → steps → mean and deviation over the ten seeds of Tianshou
THEIRS = {
    "Hopper-v5": {
        50_000: (851.17, 372.50), 100_000: (2613.46, 990.78), 150_000: (2782.77, 827.81), 200_000: (3234.42, 314.20),
        250_000: (3222.71, 280.79), 300_000: (3387.66, 114.60), 350_000: (3386.58, 238.58), 400_000: (3300.78, 477.09),
        450_000: (3129.16, 1045.63), 500_000: (3153.84, 689.35),
    },
    "HalfCheetah-v5": {
        50_000: (4747.24, 345.01), 100_000: (6514.62, 514.23), 150_000: (7464.90, 720.85), 200_000: (8207.63, 928.31),
        250_000: (8836.37, 1070.21), 300_000: (9059.26, 1051.41), 350_000: (9521.20, 945.06),
        400_000: (9908.52, 901.31), 450_000: (10256.09, 724.74), 500_000: (10409.97, 696.74),
    },
}  # fmt: skip


def measure(world):
    """One run, in runs/mujoco/ → its evaluations, and what it was made with."""
    run = ROOT / "runs" / "mujoco" / world
    words = [sys.executable, str(ROOT / "recipes" / "sac_pendulum.py"), f"--env_id={world}", *FLAGS.split()]
    words += [f"--seed={SEED}", f"--logdir={run}", f"--resume={(run / 'config.json').exists()}"]
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=os.environ | one_core)
    table, config = read_csv(run / "evaluations.csv"), json.loads((run / "config.json").read_text())
    columns = {name: table[name].tolist() for name in ("step", "mean", "deviation", "seconds")}
    return {"seed": SEED, **columns, **{key: config[key] for key in ("versions", "machine", "git_commit")}}


def at(run, step):
    """Mean and deviation of the games of the evaluation of a run that is nearest to this step."""
    nearest = min(range(len(run["step"])), key=lambda i: abs(run["step"][i] - step))
    return run["mean"][nearest], run["deviation"][nearest]


def table(results):
    """Markdown, a row for every 100,000 steps."""
    lines = ["| steps | " + " | ".join(f"{world} | Tianshou" for world in results) + " |"]
    lines.append("|---|" + "---|---|" * len(results))
    for step in range(100_000, 500_001, 100_000):
        pairs = ((at(run, step), THEIRS[world][step]) for world, run in results.items())
        cells = (f"{mean:,.0f} ± {deviation:,.0f}" for pair in pairs for mean, deviation in pair)
        lines.append(f"| {step:,} | " + " | ".join(cells) + " |")
    times = ", ".join(f"{run['seconds'][-1] / 60:.0f} minutes for {world}" for world, run in results.items())
    processors = ", ".join(sorted({run["machine"]["processor"] for run in results.values()}))
    return "\n".join([*lines, "", f"One core of an {processors} for each: {times}."])


def draw(results):
    """Our evaluations and theirs, a part of the picture for each world."""
    figure = new_figure(10, 4)
    for axes, (world, run) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        theirs = [(step, mean - deviation, mean, mean + deviation) for step, (mean, deviation) in THEIRS[world].items()]
        step, low, mean, high = zip(*theirs, strict=True)
        axes.fill_between(step, low, high, color="C1", alpha=0.2, linewidth=0)
        axes.plot(step, mean, color="C1", label="Tianshou, mean and deviation of 10 seeds")
        axes.plot(run["step"], run["mean"], color="C0", label="sac_pendulum, 1 seed")
        axes.set(title=world, xlabel="environment steps", ylabel="mean return of 10 greedy games", ylim=(0, None))
        axes.legend(loc="lower right", fontsize=8)
        axes.grid(alpha=0.3)
    save_figure(figure, FOLDER / "mujoco.png")


def with_table(page, results):
    """The text of the page with the table between its marks."""
    return between_marks(page, "mujoco", table(results))


def run_all(only=""):
    """Run what is missing; with `texts` nothing."""
    if only not in ("", "texts"):
        sys.exit(f"{only}: texts is all that there is")
    path = FOLDER / "mujoco.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    missing = [] if only else [world for world in THEIRS if world not in results]
    if missing:
        clean_tree()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for world, run in zip(missing, pool.map(measure, missing), strict=True):
            results[world] = run
            write_json(path, results)
            print(f"{world}: {run['mean'][-1]:.0f} in {run['seconds'][-1] / 60:.0f} minutes", flush=True)
    results = {world: results[world] for world in THEIRS if world in results}
    draw(results)
    write_text(PAGE, with_table(PAGE.read_text(), results))


if __name__ == "__main__":
    fire.Fire(run_all)
