"""How fast: training against what else there is, time to a score, and what the machine and each part could do at most.

Every part takes less than ten minutes on two cores, but for `hour`, which is only run if it is named. Within a part the
programs take turns, round after round, so that whatever slows the machine slows all of them.

    train:<recipe>  steps per second of the whole training loop, without evaluations and saves, after a warm-up in which
                    functions compile and learning begins: our recipe, Stable-Baselines3 with the same settings, and for
                    DQN an eager loop in the manner of the examples of keras.io
    score           seconds until 100 training games of CartPole-v1 in a row average 475; score:eager the eager loop's
    ceilings        matrix products, forward passes and updates in GFLOP/s; environments alone in steps per second
    growth          how the cost of a step, an update and a draw grows with environments, batch, width and memory
    memory          resident bytes of each stored transition
    hour            resident memory of a training process over an hour

Writes book/results/bench/<part>.json after every program, then bench.md and the pictures there, and the tables in
README and in the pages of the recipes. What is there is not measured again unless its part is named, and a part that
was interrupted goes on. Refuses a tree with changes that no commit holds.

    python benchmarks/bench.py [part ...]
    python benchmarks/bench.py texts        # only texts and pictures
"""

import json
import math
import re
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ceilings import CEILINGS, FORWARD, GRADIENT, GROWTH, MEMORY, PRODUCT, memory_while_training
from programs import EAGER, GAMES, GOAL, SCORE, THEIRS, TRAIN, ZOO_PONG, train_programs, versions_of_theirs
from results import FIRST, clean_tree

from common.files import write_json, write_text
from common.machine import has_bfloat16, surroundings
from common.plots import new_figure, save_figure

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "book" / "results" / "bench"

# Parts: name → program → function of its seed.


def available(programs):
    """Those that this machine can run."""
    return {name: program for name, program in programs.items() if "bfloat16" not in name or has_bfloat16()}


def without_seed(call):
    """A function of a seed that has no use for it."""
    return lambda _: call()


def at_each(cost, numbers):
    """A function that measures a cost at each of these numbers."""
    return lambda _: [[number, cost(number)] for number in numbers]


def in_own_process(call):
    """Call a function in a process whose memory holds nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(call).result()


PARTS = {
    **{f"train:{recipe}": train_programs(recipe) for recipe in TRAIN},
    "score": SCORE,
    "score:eager": EAGER,
    "ceilings": {name: without_seed(call) for name, (_, call) in CEILINGS.items()},
    "growth": {
        f"{picture}: {name}": at_each(*how) for picture, programs in GROWTH.items() for name, how in programs.items()
    },
    "memory": {name: without_seed(partial(in_own_process, call)) for name, call in MEMORY.items()},
    "hour": {"dqn_atari": without_seed(partial(memory_while_training, 60))},
}
ROUNDS = {"train:dqn_atari": 2, "score:eager": 1, "hour": 1}  # of other parts three


def file_of(part):
    return FOLDER / f"{part.replace(':', '_')}.json"


def rounds_of(part):
    return ROUNDS.get(part, 3)


def measure(part):
    """Run what is missing of a part, round after round; the file is as new as the last program that ended.

    A part that was begun on another machine, with other versions or from another commit is begun anew.
    """
    programs, path, now = available(PARTS[part]), file_of(part), surroundings()
    if part.startswith(("train", "score")):
        now["versions"] |= versions_of_theirs()
    found = json.loads(path.read_text()) if path.exists() else {}
    if any(found.get(key) != now[key] for key in ("git_commit", "versions", "machine")):
        found = {**now, "seconds": 0.0, "measured": {name: [] for name in programs}}
    for number in range(rounds_of(part)):
        turns = [*programs] if number % 2 == 0 else [*programs][::-1]
        for name in turns:
            values = found["measured"][name]
            if len(values) > number:
                continue
            begin = time.monotonic()
            values.append(programs[name](FIRST + number))
            found["seconds"] += time.monotonic() - begin
            write_json(path, found)
            said = f"{len(values[-1])} numbers" if isinstance(values[-1], list) else number_in_words(values[-1])
            print(f"{part}, {name}: {said}", flush=True)


# Texts and pictures.


def median(values):
    """The middle one, where None, for never, comes last."""
    return statistics.median(math.inf if value is None else value for value in values)


def number_in_words(value):
    return "never" if value in (None, math.inf) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    """Median (lowest to highest), or the only one."""
    values = [math.inf if value is None else value for value in values]
    low, middle, high = (number_in_words(f(values)) for f in (min, median, max))
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def markdown(lines, *heads):
    """A table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, ["---"] * len(heads), *lines))


def ratios(found, name):
    """How many times as many steps per second a program makes as Stable-Baselines3, round by round.

    What a program's name says after its comma is the case, and it is compared with Stable-Baselines3 in the same case
    where that was measured, as with 1 environment.
    """
    _, comma, case = name.partition(", ")
    theirs = found.get(f"{THEIRS}{comma}{case}", found[THEIRS])
    return [mine / other for mine, other in zip(found[name], theirs, strict=True)]


def compared(found):
    """One line for each program of a recipe."""
    shares = {name: "" if name.startswith(THEIRS) else spread(ratios(found, name)) for name in found}
    return [(name, spread(values), shares[name]) for name, values in found.items()]


HEADS = "program", "steps/s, median (lowest to highest)", f"times those of {THEIRS}, round by round"


def training(results):
    found = {recipe: results.get(f"train:{recipe}", {}) for recipe in TRAIN}
    lines = [(f"`{recipe}`", *line) for recipe, of in found.items() for line in compared(of)]
    return markdown(lines, "recipe", *HEADS)


MARKS = re.compile(r"<!-- speed of (\w+) -->\n.*?<!-- end -->", re.DOTALL)
SHORT_MARKS = re.compile(r"<!-- (speed|score) in short -->\n.*?<!-- end -->", re.DOTALL)


def in_page(text, results):
    """A page with the table of its recipe made anew between its marks, if there are results."""

    def block(mark):
        if not (found := results.get(f"train:{mark[1]}")):
            return mark[0]
        return f"<!-- speed of {mark[1]} -->\n{markdown(compared(found), *HEADS)}\n<!-- end -->"

    return MARKS.sub(block, text)


def in_short(results):
    """For README: ours, theirs, and the ratio."""
    lines = []
    for recipe in TRAIN:
        if found := results.get(f"train:{recipe}"):
            speeds = (number_in_words(median(found[name])) for name in ("ours", THEIRS))
            lines.append((f"`{recipe}`", *speeds, f"{median(ratios(found, 'ours')):.1f}"))
    return markdown(lines, "recipe, whole training loop", "steps/s", THEIRS, "times as fast")


def scores(results):
    found = {**results.get("score", {}), **results.get("score:eager", {})}
    lines = [(f"`{name}`" if name.endswith("_cartpole") else name, spread(values)) for name, values in found.items()]
    return markdown(lines, "program", "seconds, median (lowest to highest)")


ALONE = {  # recipe → the environments that it trains in, without a learner
    "dqn_atari": "Pong, 8 emulators",
    "ppo_atari": "Pong, 8 emulators",
    "dqn_cartpole": "CartPole, 8 environments",
    "a2c_cartpole": "CartPole, 8 environments",
    "ppo_cartpole": "CartPole, 8 environments",
    "ddpg_pendulum": "Pendulum, 8 environments",
    "td3_pendulum": "Pendulum, 8 environments",
    "sac_pendulum": "Pendulum, 8 environments",
}
FLOP = {  # of a step: acting, and its share of the updates
    "dqn_atari": FORWARD + (FORWARD + GRADIENT) * 32 / 4,
    "ppo_atari": FORWARD + GRADIENT * ZOO_PONG["epochs"],
}


def ceilings(results):
    found = {name: median(values) for name, values in results["ceilings"].items()}
    lines = []

    def line(name, value, unit, share, of):
        lines.append((name, f"{number_in_words(value)} {unit}", f"{share:.1%} of: {of}" if of else ""))

    for name, value in found.items():
        product = f"{PRODUCT}, {'bfloat16' if 'bfloat16' in name else 'float32'}"
        arithmetic = CEILINGS[name][0] == "GFLOP/s" and name != product
        line(name, value, CEILINGS[name][0], value / found[product], product if arithmetic else "")
    for recipe, world in ALONE.items():
        if of := results.get(f"train:{recipe}"):
            line(f"`{recipe}` trains", median(of["ours"]), "steps/s", median(of["ours"]) / found[world], world)
    for recipe, flop in FLOP.items():
        if of := results.get(f"train:{recipe}"):
            value, product = median(of["ours"]) * flop / 1e9, f"{PRODUCT}, float32"
            line(f"`{recipe}` trains", value, "GFLOP/s", value / found[product], product)
    return markdown(lines, "what", "median", "share")


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
            lines.append((program, span, *map(number_in_words, (costs[0], costs[-1], factor, costs[-1] / costs[0]))))
    return markdown(lines, "program", "from, to", "µs at first", "µs at last", "times as many", "times as long")


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
    """How many times as fast as Stable-Baselines3 our programs with as many environments are."""
    found = [
        (": ".join([recipe, *name.split(", ")[1:]]), ratios(of, name))
        for recipe in reversed(TRAIN)
        if (of := results.get(f"train:{recipe}"))
        for name in reversed(of)
        if name.startswith("ours")
    ]
    figure = new_figure(8, 1 + 0.35 * len(found))
    axes = figure.subplots()
    for place, (_, values) in enumerate(found):
        axes.plot([min(values), max(values)], [place, place], color="C0", linewidth=4, alpha=0.4)
        axes.plot(median(values), place, "o", color="C0")
        axes.annotate(f"{median(values):.1f}", (median(values), place), (6, 5), textcoords="offset points")
    axes.axvline(1, color="C1")
    axes.set_yticks(range(len(found)), labels=[name for name, _ in found])
    axes.set(xlabel=f"training steps per second, times those of {THEIRS}", xlim=(0, None), ylim=(-1, len(found)))
    axes.margins(x=0.1)
    axes.grid(alpha=0.3, axis="x")
    save_figure(figure, FOLDER / "training.png")


def memory(results):
    lines = [(name, spread(values)) for name, values in results["memory"].items()]
    return markdown(lines, "memory", "bytes of each transition, median (lowest to highest)")


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


HEAD = f"""# How fast

Made by `make bench`, that is `python benchmarks/bench.py`, and `python benchmarks/bench.py hour`. Each program runs
alone on all cores, in turns with those that it is compared with, in every other round in the opposite order. Figures
are medians over the rounds, with the lowest and the highest in brackets where there is room. A processor's speed
changes from day to day and from machine to machine, so the ratios say more than the seconds. The raw numbers are in the
JSON files of this folder. {THEIRS} steps its environments one after the other, which is its default.
"""
SECTIONS = {  # part → heading, what explains it, the table, the picture and what draws it
    "train": (
        "Training",
        """\
Steps per second of the whole training loop after a warm-up, at equal settings. PPO on CartPole and on Pong has those of
RL Baselines3 Zoo, A2C makes five steps between two updates, or the recipe's 32, DDPG, TD3 and SAC have two layers of
256 units and an update of 256 transitions for every step; everything else is as in the recipe. *Eager Keras* is a loop
in the manner of the examples of keras.io (`benchmarks/eager_dqn.py`).

`compiled_ppo_cartpole` plays in a world that is written in TensorFlow. Stable-Baselines3 and our `ppo_cartpole`, which
stand beside it with the same settings, play in gymnasium's.""",
        training, "training.png", draw_training,
    ),
    "score": (
        "Seconds to a score",
        f"""\
Until {GAMES} training games of CartPole-v1 in a row average {GOAL}. Compilation is in it, starting Python and importing
is not. Ours have their defaults, but play on at a learning rate of 0 if need be. PPO of Stable-Baselines3 has the
settings of RL Baselines3 Zoo, and plays on as well.""",
        scores, "", None,
    ),
    "ceilings": (
        "Ceilings",
        "What the same machine does of the arithmetic of the Nature network, and of environments without a learner.",
        lambda results: ceilings(of_one_machine("ceilings", results)), "", None,
    ),
    "growth": ("Growth", "What one call costs, against the size of what it is for.", growth, "growth.png", draw_growth),
    "memory": (
        "Memory",
        """\
Resident memory of a full replay memory. A transition of Atari with both stacks of four frames stored whole would take
56,448 bytes.""",
        memory, "", None,
    ),
    "hour": ("An hour", "Resident memory while a recipe trains.", hour, "hour.png", draw_hour),
}  # fmt: skip


def read_results():
    """Part → program → values, of the parts that are whole."""
    found = {part: json.loads(file_of(part).read_text())["measured"] for part in PARTS if file_of(part).exists()}
    return {part: of for part, of in found.items() if is_whole(part, of)}


def is_whole(part, found):
    """Whether each program that there is now has a value of each round."""
    wanted = set(available(PARTS[part]))
    return wanted <= set(found) <= set(PARTS[part]) and all(len(of) >= rounds_of(part) for of in found.values())


def machine_of(part):
    """In words."""
    machine = json.loads(file_of(part).read_text())["machine"]
    return f"{machine['cores']} cores of an {machine['processor']}"


def of_one_machine(part, results):
    """The results that were measured on the machine of this part: a share mixes no two machines."""
    return {other: of for other, of in results.items() if machine_of(other) == machine_of(part)}


def about(results):
    """How long each part took, on which machine, and the versions."""
    found = {part: json.loads(file_of(part).read_text()) for part in results}
    lines = []
    for machine in sorted({machine_of(part) for part in found}):
        here = (part for part in found if machine_of(part) == machine)
        took = ", ".join(f"{part} {found[part]['seconds'] / 60:.1f}" for part in here)
        lines.append(f"Minutes of each part on {machine}: {took}.\n")
    versions = sorted({f"{k} {v}" for of in found.values() for k, v in of["versions"].items()})
    return "\n".join([*lines, f"Versions: {', '.join(versions)}.\n"])


def sections(results):
    """The sections whose part has results."""
    return {part: of for part, of in SECTIONS.items() if any(name.split(":")[0] == part for name in results)}


def texts(results):
    """Every text that shows these results → its content with the figures as they are in the results."""
    parts = [HEAD]
    for title, words, table, picture, _ in sections(results).values():
        parts.append(f"## {title}\n\n{words}\n\n{table(results)}\n")
        if picture:
            parts.append(f"![{title.lower()}]({picture})\n")
    readme = ROOT / "README.md"
    short = {"speed": in_short(results), "score": scores(results)}
    pages = [page for page in sorted((ROOT / "book").glob("*.md")) if MARKS.search(page.read_text())]
    return {
        **{page: in_page(page.read_text(), results) for page in pages},
        FOLDER / "bench.md": "\n".join([*parts, about(results)]),
        readme: SHORT_MARKS.sub(lambda m: f"<!-- {m[1]} in short -->\n{short[m[1]]}\n<!-- end -->", readme.read_text()),
    }


def run_all(*words):
    """Measure what is missing, or the parts that are named anew."""
    if unknown := sorted({*words} - {*PARTS, "texts"}):
        sys.exit(f"no such part: {' '.join(unknown)}. There are: {' '.join(PARTS)} texts")
    chosen = [part for part in PARTS if part in words or not words and part != "hour" and part not in read_results()]
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
