"""Every quick recipe with its defaults, five seeds each: does it reach its goal, after how many steps and seconds?

Writes book/results/five_seeds.json after every run, and at the end book/results/five_seeds.md and the figures in
README, pages and docstrings, which stand between marks; keeps the pictures of seed 0 in book/results/<recipe>/. What is
in the JSON file already is not run again unless it is named. Refuses a tree with changes that no commit holds.

    python benchmarks/five_seeds.py [names of runs to make anew ... | all]
"""

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common.files import read_episodes, write_text
from common.machine import commit

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
SEEDS = 5


def mean_score(run):
    """Mean return of 100 greedy games."""
    return np.mean(evaluation(run)["scores"])


def success(run):
    """Exact probability of success of the greedy policy."""
    return evaluation(run)["success_probability"]


def last_generation(run):
    """Mean reward of the last generation."""
    return evaluation(run)["generation_mean"][-1]


def online(run):
    """Mean return of the last 100 games of training."""
    return read_episodes(run)["episode_return"][-100:].mean()


def as_published(run):
    """Share of the 200 cells of figure 5.2 on which the greedy policy is the book's."""
    return evaluation(run)["same_as_published"]


def shortest(run):
    """Share of the goals reached by a shortest way."""
    found = evaluation(run)
    return np.mean((np.array(found["returns"]) > 0) & (np.array(found["lengths"]) == found["shortest"]))


def reached(run):
    """Share of the goals reached."""
    return np.mean(np.array(evaluation(run)["returns"]) > 0)


def evaluation(run):
    return json.loads((run / "evaluation.json").read_text())


# name of the run → recipe, flags, what is measured, at least how much of it
GOALS = {
    "hardcoded_cartpole": ("hardcoded_cartpole", [], mean_score, 0),
    "q_table_frozenlake": ("q_table_frozenlake", [], success, 0.7401),
    "q_table_frozenlake, gamma 0.95": ("q_table_frozenlake", ["--gamma=0.95"], success, 0.7297),
    "q_network_frozenlake": ("q_network_frozenlake", [], success, 0.70),
    "value_iteration_frozenlake": ("value_iteration_frozenlake", [], success, 0.7401),
    "value_iteration_frozenlake, policy": ("value_iteration_frozenlake", ["--method=policy"], success, 0.7401),
    "monte_carlo_blackjack": ("monte_carlo_blackjack", [], as_published, 0.95),
    "q_learning_cliffwalking": ("q_learning_cliffwalking", [], mean_score, -13),
    "sarsa_cliffwalking": ("sarsa_cliffwalking", [], online, -40),
    "neural_evolutionary_agent": ("neural_evolutionary_agent", [], last_generation, 0.95),
    "reinforce_cartpole": ("reinforce_cartpole", [], mean_score, 475),
    "reinforce_dropout_cartpole": ("reinforce_dropout_cartpole", [], mean_score, 475),
    "actor_critic_cartpole": ("actor_critic_cartpole", [], mean_score, 475),
    "actor_critic_two_networks": ("actor_critic_two_networks", [], mean_score, 475),
    "nfq_gridworld": ("nfq_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1),
    "nfq_gridworld, obstacle": ("nfq_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1),
    "nfq_gridworld, random goal": ("nfq_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1),
    "dqn_gridworld": ("dqn_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1),
    "dqn_gridworld, obstacle": ("dqn_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1),
    "dqn_gridworld, random goal": ("dqn_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1),
}


def measure(name, seed):
    """One run in a process of its own → what it reached and what it took."""
    recipe, flags, value, _ = GOALS[name]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, f"recipes/{recipe}.py", *flags, f"--seed={seed}", f"--logdir={run}"]
        begin = time.monotonic()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        wall = time.monotonic() - begin
        episodes, config = read_episodes(run), json.loads((run / "config.json").read_text())
        if seed == 0:
            keep(run, RESULTS / name.replace(", ", "_").replace(" ", "_"))
        return {
            "value": float(value(run)),
            "games": len(episodes["episode"]),
            "steps": int(episodes["step"][-1]),
            "seconds": float(episodes["seconds"][-1]),
            "wall_seconds": round(wall, 2),
            **{key: config[key] for key in ("versions", "machine", "git_commit", "started")},
        }


def keep(run, folder):
    """Pictures, settings and evaluation of a run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (*run.glob("*.png"), run / "evaluation.json"):
        shutil.copy(path, folder)
    config = json.loads((run / "config.json").read_text())
    config["arguments"]["logdir"] = "runs"  # the temporary one says nothing
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


HEAD = """# Five seeds of every quick recipe

Made by `python benchmarks/five_seeds.py`; the raw figures are in `five_seeds.json`. Every run has the defaults of its
recipe but for the flags shown. Seconds: of training, evaluations in between included, then of the whole process; median
(lowest to highest) over seeds 0 to 4.
"""
COLUMNS = ("command", "measured", "on five seeds", "games", "steps", "training", "process")


def cells(name, runs):
    """The columns of one run."""
    recipe, flags, value, _ = GOALS[name]
    numbers = {key: [run[key] for run in runs] for key in ("value", "games", "steps", "seconds", "wall_seconds")}
    measured = value.__doc__.rstrip(".")[0].lower() + value.__doc__.rstrip(".")[1:]
    seconds = [f"{spread(numbers[key])} s" for key in ("seconds", "wall_seconds")]
    return [
        f"{recipe}.py {' '.join(flags)}".strip(), measured, listed(numbers["value"]), spread(numbers["games"]),
        spread(numbers["steps"]), *seconds,
    ]  # fmt: skip


def markdown(results, recipe=""):
    """The table of one recipe, or of all."""
    rows = [cells(name, runs) for name, runs in results.items() if recipe in ("", GOALS[name][0])]
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([f"`{row[0]}`", *row[1:]] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(results, recipe):
    """The same for a docstring, a paragraph of lines for each command; no line has more than 120 characters."""
    parts = []
    for command, measured, value, games, steps, seconds, whole in (
        cells(name, runs) for name, runs in results.items() if GOALS[name][0] == recipe
    ):
        lines = ((measured, value), ("games", games), ("steps", steps), ("training", seconds), ("whole process", whole))
        width = max(len(label) for label, _ in lines)
        head = [] if command == f"{recipe}.py" else [f"    {command.split(' ', 1)[1]}"]
        parts.append("\n".join([*head, *(f"    {label:<{width}}  {text}" for label, text in lines)]))
    return "\n\n".join(parts)


def machine(results):
    """The processor and the versions of the results; of several, all."""
    processors = sorted(
        {f"{run['machine']['cores']} cores of {run['machine']['processor']}" for run in runs_of(results)}
    )
    versions = sorted({", ".join(f"{k} {v}" for k, v in run["versions"].items()) for run in runs_of(results)})
    return "; ".join(processors), "; ".join(versions)


def runs_of(results):
    return [run for runs in results.values() for run in runs]


def listed(values):
    """All values, or one where they agree."""
    texts = [f"{value:.4f}".rstrip("0").rstrip(".") for value in values]
    return texts[0] if len({*texts}) == 1 else ", ".join(texts)


def spread(values):
    low, middle, high = (
        f"{f(values):,.4g}" if f(values) < 1000 else f"{f(values):,.0f}" for f in (min, statistics.median, max)
    )
    return middle if low == high else f"{middle} ({low} to {high})"


MARKED = re.compile(r"<!-- five seeds of (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def in_page(text, results):
    """A Markdown page with the tables between its marks made anew: of one recipe, or of `all`."""

    def table(mark):
        recipe = "" if mark[1] == "all" else mark[1]
        return f"<!-- five seeds of {mark[1]} -->\n{markdown(results, recipe)}\n<!-- end -->"

    return MARKED.sub(table, text)


def in_docstring(text, results, recipe):
    """A recipe with the paragraphs after the line "Five seeds …:" in its docstring made anew."""
    lines = text.splitlines()
    if not any(line.startswith("Five seeds") for line in lines):  # a new recipe: at the end of its docstring
        last = lines.index('"""')
        lines[last:last] = ["", "Five seeds"]
    start = next(i for i, line in enumerate(lines) if line.startswith("Five seeds"))
    end = next(i for i in range(start + 1, len(lines)) if lines[i] and not lines[i].startswith("    "))
    processors, _ = machine({name: runs for name, runs in results.items() if GOALS[name][0] == recipe})
    head = f"Five seeds, median (lowest to highest), {processors}, by `benchmarks/five_seeds.py`:"
    gap = [] if lines[end].startswith('"""') else [""]
    return "\n".join([*lines[:start], head, "", *plain(results, recipe).splitlines(), *gap, *lines[end:]]) + "\n"


def texts(results):
    """Every text that shows these results → its content with the figures as they are in the results."""
    processors, versions = machine(results)
    found = {
        RESULTS / "five_seeds.md": f"{HEAD}\n{markdown(results)}\n\nMachine: {processors}. Versions: {versions}.\n"
    }
    for page in (ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))):
        if MARKED.search(page.read_text()):
            found[page] = in_page(page.read_text(), results)
    for recipe in sorted({GOALS[name][0] for name in results}):
        path = ROOT / "recipes" / f"{recipe}.py"
        found[path] = in_docstring(path.read_text(), results, recipe)
    return found


def clean_tree():
    """Exit unless the code, as it stands, is that of a commit: results come from what can be had again."""
    if not commit() or commit().endswith("-dirty"):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")


def run_all(*again):
    """Run what is missing or named; exit code 1 if a goal was missed."""
    path = RESULTS / "five_seeds.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    again = tuple(GOALS) if again == ("all",) else again
    if unknown := sorted({*again} - {*GOALS}):
        sys.exit(f"no such run: {'; '.join(unknown)}. There are: {'; '.join(GOALS)}")
    if any(len(results.get(name, [])) < SEEDS for name in GOALS) or again:
        clean_tree()
    for name in again:
        results.pop(name, None)
    for name in GOALS:
        for seed in range(len(results.get(name, [])), SEEDS):
            result = measure(name, seed)
            results.setdefault(name, []).append(result)
            write_text(path, json.dumps(results, indent=1) + "\n")
            print(f"{name}, seed {seed}: {result['value']:.4f} in {result['seconds']:.1f} s", flush=True)
    results = {name: results[name] for name in GOALS}
    write_text(path, json.dumps(results, indent=1) + "\n")
    for text, content in texts(results).items():
        write_text(text, content)
    missed = [name for name, runs in results.items() if min(run["value"] for run in runs) < GOALS[name][3]]
    if missed:
        sys.exit(f"goal missed: {', '.join(missed)}")


if __name__ == "__main__":
    run_all(*sys.argv[1:])  # not by Fire, which takes a name with a comma for two
