"""How fast: training against what else there is, time to a score, and what the machine and each part could do at most.

Every part takes less than ten minutes on two cores, but for `hour`, which is only run if it is named. Within a part the
programs take turns, round after round, so that whatever slows the machine slows all of them; the figure is the median.

    train:<recipe>  steps per second of the whole training loop, without evaluations and saves, after a warm-up in which
                    functions compile and the replay memory fills: our recipe, Stable-Baselines3 with the same settings,
                    and where the examples of keras.io have such a program, an eager loop in their manner
    score           seconds until 100 training games of CartPole-v1 in a row average 475
    ceilings        matrix products, forward passes and updates in GFLOP/s; environments alone in steps per second
    growth          how the cost of a step, an update and a draw grows with environments, batch, width and memory
    memory          resident bytes of each stored transition
    hour            resident memory of a training process over an hour

Writes book/results/bench/<part>.json after every program, then bench.md and the pictures there, and the tables in
README and in the pages of the recipes.
What is there is not measured again unless its part is named. Refuses a tree with changes that no commit holds.

    python benchmarks/bench.py [part ...]
    python benchmarks/bench.py texts        # only texts and pictures
"""

import inspect
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ceilings import CEILINGS, GROWTH, MEMORY, growth_of_training
from pong import moment
from results import clean_tree

from common.files import read_episodes, write_json, write_text
from common.machine import has_bfloat16, surroundings
from common.plots import new_figure, save_figure

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "book" / "results" / "bench"
SB3 = os.environ.get("SB3_PYTHON", str(ROOT / ".venv-sb3" / "bin" / "python"))  # has Stable-Baselines3
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
ROUNDS, FEWER = 3, {"train:dqn_atari": 2, "hour": 1}  # a program takes a minute or two there, or sixty


# Programs: each is a process of its own that trains, and gives one number.


def settings_of(recipe, changed):
    """The defaults of a recipe, with some of them changed."""
    train = import_module(f"recipes.{recipe}").train
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    return {**defaults, **changed}


def play(recipe, seed, changed):
    """Train with a recipe → `episodes.csv` and what it printed."""
    flags = {"eval_interval": 0, "eval_episodes": 0, "save_interval": 10**9, "seed": seed, **changed}
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={value}" for name, value in {**flags, "logdir": f"{folder}/run"}.items()]
        command = [sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
        return read_episodes(f"{folder}/run"), done.stdout


def answer(python, script, settings):
    """What a program of this folder prints last, as JSON."""
    command = [python, str(ROOT / "benchmarks" / f"{script}.py"), json.dumps(settings)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(recipe, warm_up, changed, seed):
    """Steps per second after the warm-up."""
    episodes, _ = play(recipe, seed, changed)
    counted = episodes["step"] > warm_up
    steps, seconds = episodes["step"][counted], episodes["seconds"][counted]
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


def stable_baselines3(recipe, warm_up, changed, seed):
    """The same, with Stable-Baselines3."""
    settings = settings_of(recipe, changed)
    own = {"recipe": recipe, "warm_up": warm_up, "seed": seed}
    return answer(SB3, "sb3", {"updates": settings.get("minibatches"), **settings, **own})


def eager(recipe, warm_up, changed, seed):
    """The same, with an eager loop; the seed is only a number of the round."""
    return answer(sys.executable, "eager_dqn", settings_of(recipe, {**changed, "warm_up": warm_up}))


TIMES = "Stable-Baselines3"
# recipe → program → (function, warm-up, settings); what it has in common first
WIDE = {"steps": 5_000, "hidden_units": 256, "batch_size": 256}  # one update per step
EIGHT = {**WIDE, "num_envs": 8, "train_interval": 64, "minibatches": 64}
ONE = {**WIDE, "num_envs": 1, "train_interval": 1, "minibatches": 1}
ZOO_PPO = {"steps": 100_000, "rollout_length": 32, "batch_size": 256, "epochs": 20}
ZOO_PONG = {"steps": 16_384, "num_envs": 8, "epochs": 4, "batch_size": 256, "learning_rate": 2.5e-4}
PONG = {"learning_starts": 1_000, "buffer_size": 20_000}
SMALL, SHORT = {"network": "small"}, {"precision": "bfloat16"}
COMPILED = {"steps": 60_000, "num_envs": 16, "rollout_length": 64, "epochs": 8, "batch_size": 256}


def both(warm_up, changed):
    return {"ours": (ours, warm_up, changed), TIMES: (stable_baselines3, warm_up, changed)}


def both_ways(warm_up=2_000):
    one = {f"{name}, 1 environment": program for name, program in both(warm_up, ONE).items()}
    return {**both(warm_up, EIGHT), **one}


TRAIN = {
    "dqn_cartpole": {
        **both(5_000, {"steps": 20_000}),
        f"{TIMES}, 1 environment": (stable_baselines3, 5_000, {"steps": 20_000, "num_envs": 1}),
        "eager Keras, 1 environment": (eager, 200, {"steps": 500, "train_interval": 2}),
    },
    "a2c_cartpole": both(10_000, {"steps": 100_000, "rollout_length": 5}),
    "ppo_cartpole": both(10_000, ZOO_PPO),
    "ppo_pendulum": both(10_000, {"steps": 60_000}),
    "compiled_ppo_cartpole": {
        "ours": (ours, 30_000, COMPILED),
        "ppo_cartpole": (ours, 30_000, COMPILED),
        TIMES: (stable_baselines3, 30_000, COMPILED),
    },
    "ddpg_pendulum": both_ways(),
    "td3_pendulum": both_ways(),
    "sac_pendulum": both_ways(),
    "dqn_atari": {
        "ours": (ours, 3_000, {**PONG, "episodes": 16}),
        TIMES: (stable_baselines3, 2_000, {**PONG, "steps": 5_000, "train_interval": 8, "updates": 2}),
        f"{TIMES}, 1 environment": (stable_baselines3, 2_000, {**PONG, "steps": 5_000, "num_envs": 1, "updates": 1}),
        "eager Keras, 1 environment": (eager, 100, {"steps": 500}),
    },
    "ppo_atari": {
        **both(4_096, ZOO_PONG),
        "ours, bfloat16": (ours, 4_096, {**ZOO_PONG, **SHORT}),
        "ours, small": (ours, 4_096, {**ZOO_PONG, **SMALL}),
        "ours, small, bfloat16": (ours, 4_096, {**ZOO_PONG, **SMALL, **SHORT}),
    },
}
SAME = {"compiled_ppo_cartpole": "ppo_cartpole"}  # what Stable-Baselines3 has instead


def train_programs(recipe):
    """Program → function of the number of the round."""
    found = {}
    for name, (measure, warm_up, changed) in TRAIN[recipe].items():
        if "bfloat16" in name and not has_bfloat16():
            continue
        which = recipe if name.startswith("ours") else SAME.get(recipe, recipe)
        found[name] = partial(measure, which, warm_up, changed)
    return found


# Seconds to a score.

GOAL, GAMES = 475, 100


def seconds_of(recipe, seed):
    """Until the goal; None if it is never reached. Where the whole loop compiles first, that is in it."""
    episodes, said = play(recipe, seed, {"steps": 200_000} if recipe == "ppo_cartpole" else {})
    compiling = re.search(r"^compiled +in ([\d.]+) s", said, re.MULTILINE)
    reached = moment(episodes, GAMES, GOAL)
    return None if reached is None else 60 * reached[0] + (float(compiling[1]) if compiling else 0.0)


def seconds_of_stable_baselines3(seed):
    """The same, PPO with the settings of RL Baselines3 Zoo, but for more steps."""
    zoo = {**ZOO_PPO, "steps": 200_000, "learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.8, "entropy_weight": 0.0}
    settings = settings_of("ppo_cartpole", {**zoo, "falls": True, "goal": GOAL, "warm_up": 0, "seed": seed})
    return answer(SB3, "sb3", {**settings, "recipe": "ppo_cartpole"})[0]


def seconds_of_tutorial(seed):
    """The same, of the TensorFlow tutorial, repaired."""
    command = [sys.executable, str(ROOT / "benchmarks" / "tutorial_actor_critic.py"), f"--seed={seed}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    solved, seconds = re.search(r"solved=(\w+) episodes=\d+ seconds=([\d.]+)", said).groups()
    return float(seconds) if solved == "True" else None


SCORE = {
    "compiled_ppo_cartpole": partial(seconds_of, "compiled_ppo_cartpole"),
    "ppo_cartpole": partial(seconds_of, "ppo_cartpole"),
    "actor_critic_cartpole": partial(seconds_of, "actor_critic_cartpole"),
    f"PPO of {TIMES}": seconds_of_stable_baselines3,
    "TensorFlow's tutorial, repaired": seconds_of_tutorial,
}


# Parts: name → program → function of the number of the round.


def available(programs):
    """Those that this machine can run."""
    return {name: program for name, program in programs.items() if "bfloat16" not in name or has_bfloat16()}


def unnumbered(call):
    return lambda _: call()


def along(cost, numbers):
    return lambda _: [[number, cost(number)] for number in numbers]


def apart(call):
    """In a process of its own, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(call).result()


PARTS = {
    **{f"train:{recipe}": train_programs(recipe) for recipe in TRAIN},
    "score": SCORE,
    "ceilings": {name: unnumbered(call) for name, (_, call) in CEILINGS.items()},
    "growth": {
        f"{picture}: {name}": along(*how) for picture, programs in GROWTH.items() for name, how in programs.items()
    },
    "memory": {name: unnumbered(partial(apart, call)) for name, call in MEMORY.items()},
    "hour": {"dqn_atari": lambda _: growth_of_training(minutes=60)},
}


def file_of(part):
    return FOLDER / f"{part.replace(':', '_')}.json"


def measure(part):
    """Run what is missing of a part, round after round; the file is as new as the last program that ended."""
    programs, path = available(PARTS[part]), file_of(part)
    found = json.loads(path.read_text()) if path.exists() else {"measured": {}}
    for number in range(FEWER.get(part, ROUNDS)):
        for name, program in programs.items():
            values = found["measured"].setdefault(name, [])
            if len(values) > number:
                continue
            values.append(program(number))
            write_json(path, {**surroundings(), "measured": found["measured"]})
            said = values[-1] if np.ndim(values[-1]) == 0 else f"{len(values[-1])} numbers"
            print(f"{part}, {name}: {said if said is None or isinstance(said, str) else f'{said:,.4g}'}", flush=True)


# Texts and pictures.


def median(values):
    """The middle one, where None, for never, comes last."""
    return statistics.median(np.inf if value is None else value for value in values)


def number(value):
    return "never" if value == np.inf else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    """Median (lowest to highest)."""
    values = [np.inf if value is None else value for value in values]
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def rows(lines, *heads):
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, ["---"] * len(heads), *lines))


def compared(found):
    """One line for each program: name, steps/s, and how many times as many that is."""
    return [(name, spread(values), f"{median(values) / median(found[TIMES]):.2f}") for name, values in found.items()]


HEADS = "program", "steps/s, median (lowest to highest)", f"times those of {TIMES}"


def training(results):
    found = {recipe: results.get(f"train:{recipe}", {}) for recipe in TRAIN}
    lines = [(f"`{recipe}`", *line) for recipe, of in found.items() for line in compared(of)]
    return rows(lines, "recipe", *HEADS)


def in_page(text, results):
    """A page with the table of its recipe made anew between its marks, if there are results."""

    def block(mark):
        if not (found := results.get(f"train:{mark[1]}")):
            return mark[0]
        return f"<!-- speed of {mark[1]} -->\n{rows(compared(found), *HEADS)}\n<!-- end -->"

    return MARKS.sub(block, text)


def in_short(results):
    """For README: ours, and Stable-Baselines3's."""
    lines = []
    for recipe in TRAIN:
        if found := results.get(f"train:{recipe}"):
            mine, theirs = median(found["ours"]), median(found[TIMES])
            lines.append((f"`{recipe}`", number(mine), number(theirs), f"{mine / theirs:.1f}"))
    return rows(lines, "recipe, whole training loop", "steps/s", TIMES, "times as fast")


def scores(results):
    lines = [(f"`{name}`" if "_" in name else name, spread(values)) for name, values in results["score"].items()]
    return rows(lines, "program", "seconds, median (lowest to highest)")


def ceilings(results):
    found = {name: median(values) for name, values in results["ceilings"].items()}
    lines = []
    for name, value in found.items():
        unit, kind = CEILINGS[name][0], "bfloat16" if "bfloat16" in name else "float32"
        product = found[f"matrix product, 2048 x 2048, {kind}"]
        lines.append((name, f"{number(value)} {unit}", f"{value / product:.0%}" if unit == "GFLOP/s" else ""))
    for recipe, world in LIMITS.items():
        if of := results.get(f"train:{recipe}"):
            value = median(of["ours"])
            lines.append((f"`{recipe}` trains", f"{number(value)} steps/s", f"{value / found[world]:.1%} of: {world}"))
    return rows(lines, "what", "median", "share of the matrix product of its precision, or of the environments alone")


LIMITS = {  # recipe → its environments alone
    "dqn_atari": "Pong, 8 emulators",
    "ppo_atari": "Pong, 8 emulators",
    "dqn_cartpole": "CartPole, 8 environments",
    "ppo_cartpole": "CartPole, 8 environments",
    "sac_pendulum": "Pendulum, 8 environments",
}


def curves(results):
    """Picture → program → counts, median microseconds."""
    found = {picture: {} for picture in GROWTH}
    for name, rounds in results["growth"].items():
        picture, program = name.split(": ")
        found[picture][program] = np.median(rounds, axis=0).T
    return found


def growth(results):
    lines = []
    for picture, programs in curves(results).items():
        for program, (counts, costs) in programs.items():
            span, factor = f"{counts[0]:,.0f} to {counts[-1]:,.0f} {picture}", counts[-1] / counts[0]
            lines.append((program, span, *map(number, (costs[0], costs[-1], factor, costs[-1] / costs[0]))))
    return rows(lines, "program", "from, to", "µs at first", "µs at last", "times as many", "times as long")


def draw_growth(results):
    figure = new_figure(10, 7)
    for axes, (picture, programs) in zip(figure.subplots(2, 2).flat, curves(results).items(), strict=True):
        for program, (counts, costs) in programs.items():
            axes.loglog(counts, costs, "o-", markersize=3, label=program)
        axes.set(xlabel=picture, ylabel="microseconds")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    save_figure(figure, FOLDER / "growth.png")


def draw_training(results):
    """How many times as fast as Stable-Baselines3 each of our programs is that has the same number of environments."""
    found = [
        (" ".join([recipe, *name.split(", ")[1:]]), median(values) / median(of[TIMES]))
        for recipe in reversed(TRAIN)
        if TIMES in (of := results.get(f"train:{recipe}", {}))
        for name, values in reversed(of.items())
        if name.startswith("ours") and "environment" not in name
    ]
    figure = new_figure(8, 1 + 0.35 * len(found))
    axes = figure.subplots()
    names, ratios = zip(*found, strict=True)
    bars = axes.barh(names, ratios, color="C0")
    axes.bar_label(bars, [f" {ratio:.1f}" for ratio in ratios])
    axes.axvline(1, color="C1")
    axes.set(xlabel=f"training steps per second, times those of {TIMES}", xscale="log")
    save_figure(figure, FOLDER / "training.png")


def memory(results):
    lines = [(name, spread(values)) for name, values in results["memory"].items()]
    return rows(lines, "memory", "bytes of each transition, median (lowest to highest)")


def hour(results):
    ((minutes, megabytes),) = (np.transpose(samples) for samples in results["hour"]["dqn_atari"])
    late = minutes > 10  # compiled, the memory full, the first checkpoints written
    slope = np.polyfit(minutes[late], megabytes[late], 1)[0] * 60
    return (
        f"`dqn_atari` with a memory of 5,000 steps, which is soon full: {megabytes[late][0]:.0f} MB after ten minutes, "
        f"{megabytes[-1]:.0f} MB after {minutes[-1]:.0f}, a slope of {slope:+.1f} MB per hour."
    )


def draw_hour(results):
    ((minutes, megabytes),) = (np.transpose(samples) for samples in results["hour"]["dqn_atari"])
    figure = new_figure(8, 3)
    axes = figure.subplots()
    axes.plot(minutes, megabytes)
    axes.set(xlabel="minutes", ylabel="resident megabytes", ylim=(0, None))
    axes.grid(alpha=0.3)
    save_figure(figure, FOLDER / "hour.png")


HEAD = """# How fast

Made by `make bench`, that is `python benchmarks/bench.py`, and `python benchmarks/bench.py hour`. Each program runs
alone on all cores, in turns with those that it is compared with; figures are medians over the rounds, with the lowest
and the highest in brackets. A processor's speed changes from day to day and from machine to machine, so the ratios say
more than the seconds. The raw numbers are in the JSON files of this folder.
"""
SECTIONS = {  # part → heading, what explains it, the table, the picture and what draws it
    "train": (
        "Training",
        "Steps per second of the whole training loop, after a warm-up, at equal settings: for PPO those of RL\n"
        "Baselines3 Zoo, for DDPG, TD3 and SAC two layers of 256 units and an update of 256 transitions for every\n"
        "step, else the recipe's. Eight environments where nothing else is said. *Eager Keras* is a loop in the\n"
        f"manner of the examples of keras.io (`benchmarks/eager_dqn.py`). {TIMES} has no compiled\n"
        "environments: beside `compiled_ppo_cartpole` stand its PPO and ours with the same settings.",
        training, "training.png", draw_training,
    ),
    "score": (
        "Seconds to a score",
        f"Until {GAMES} training games of CartPole-v1 in a row average {GOAL}. Compilation is in it, starting Python\n"
        "and importing is not. Ours with their defaults, but `ppo_cartpole` may take 200,000 steps.",
        scores, "", None,
    ),
    "ceilings": (
        "Ceilings",
        "What the same machine does of the arithmetic of the Nature network, and of environments without a learner.",
        ceilings, "", None,
    ),
    "growth": ("Growth", "What one call costs, against the size of what it is for.", growth, "growth.png", draw_growth),
    "memory": (
        "Memory",
        "Resident memory of a full replay memory. A transition of Atari with both stacks of four frames stored whole\n"
        "would take 56,448 bytes.",
        memory, "", None,
    ),
    "hour": ("An hour", "Resident memory while a recipe trains.", hour, "hour.png", draw_hour),
}  # fmt: skip
MARKS = re.compile(r"<!-- speed of (\w+) -->\n.*?<!-- end -->", re.DOTALL)
SHORT_MARKS = re.compile(r"<!-- speed in short -->\n.*?<!-- end -->", re.DOTALL)


def read_results():
    """Part → program → values, of the parts of which every program has as many as there are rounds."""
    found = {part: json.loads(file_of(part).read_text()) for part in PARTS if file_of(part).exists()}
    whole = {}
    for part, of in found.items():
        if min(map(len, of["measured"].values())) >= FEWER.get(part, ROUNDS):
            whole[part] = of["measured"]
    return whole


def machines():
    """In words, from what the files say."""
    found = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    where = sorted({f"{of['machine']['cores']} cores of an {of['machine']['processor']}" for of in found})
    versions = sorted({", ".join(f"{k} {v}" for k, v in of["versions"].items()) for of in found})
    return f"Machine: {'; '.join(where)}. Versions: {'; '.join(versions)}; {TIMES} 2.9.2 with PyTorch on the CPU.\n"


def sections(results):
    """Those of which there is something."""
    return {part: of for part, of in SECTIONS.items() if any(name.split(":")[0] == part for name in results)}


def texts(results):
    """Every text that shows these results → its content with the figures as they are in the results."""
    parts = [HEAD]
    for title, words, table, picture, _ in sections(results).values():
        parts.append(f"## {title}\n\n{words}\n\n{table(results)}\n")
        if picture:
            parts.append(f"![{title.lower()}]({picture})\n")
    readme = ROOT / "README.md"
    short = f"<!-- speed in short -->\n{in_short(results)}\n<!-- end -->"
    pages = [page for page in sorted((ROOT / "book").glob("*.md")) if MARKS.search(page.read_text())]
    return {
        **{page: in_page(page.read_text(), results) for page in pages},
        FOLDER / "bench.md": "\n".join([*parts, machines()]),
        readme: SHORT_MARKS.sub(lambda _: short, readme.read_text()),
    }


def run_all(*words):
    """Measure what is missing, or the parts that are named anew."""
    if unknown := sorted({*words} - {*PARTS, "texts"}):
        sys.exit(f"no such part: {' '.join(unknown)}. There are: {' '.join(PARTS)} texts")
    chosen = [part for part in PARTS if part in words or not words and part != "hour"]
    if chosen:
        clean_tree()
        FOLDER.mkdir(exist_ok=True)
    for part in chosen:
        if part in words and part in read_results():
            file_of(part).unlink()
        measure(part)
    results = read_results()
    for path, text in texts(results).items():
        write_text(path, text)
    for *_, draw in sections(results).values():
        if draw:
            draw(results)


if __name__ == "__main__":
    run_all(*sys.argv[1:])
