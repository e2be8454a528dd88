"""Every recipe with its defaults over many seeds: does it reach its goal, after how many games, steps and seconds?

30 seeds where training takes some ten seconds, 10 where it takes longer, 5 where it takes minutes; the network on the
lake and DQN on the grid have 10, too. They are the seeds from 1000 on, not used to choose settings. One run per core,
each with one thread. A run stays in runs/results/, where a later start of this program finds it; one that was
interrupted, or that is of another commit, begins anew.

Writes into book/results/<name>/: runs.csv (seed, value, games, steps: the same whenever it is made again), times.json
(seconds, machine, versions, commit) and seeds.png (every run, the interquartile mean and its interval). Then
book/results/README.md and the figures in README, pages and docstrings, which stand between marks. What runs.csv holds
is not run again unless it is named. Refuses a tree with changes that no commit holds.

    python benchmarks/results.py [names of runs to make anew ... | all]
    python benchmarks/results.py texts                               # only the texts, from what is in book/results/
    python benchmarks/results.py pictures                            # seed 0 of each, whose own pictures the pages show
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from common.files import read_csv, read_episodes, write_json, write_text
from common.machine import commit
from common.plots import plot_runs, smoothed

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "book" / "results"
RAW = ROOT / "runs" / "results"
FIRST = 1000  # seed
MANY, SOME, FEW = 30, 10, 5


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
    """Share of the 200 cells of the greedy policy that are as in figure 5.2."""
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


# name of the runs → recipe, flags, what is measured, how much of it is the goal, how many seeds
GOALS = {
    "hardcoded_cartpole": ("hardcoded_cartpole", [], mean_score, 40, MANY),
    "q_table_frozenlake": ("q_table_frozenlake", [], success, 0.7401, MANY),
    "q_table_frozenlake, gamma 0.95": ("q_table_frozenlake", ["--gamma=0.95"], success, 0.7297, MANY),
    "q_network_frozenlake": ("q_network_frozenlake", [], success, 0.70, SOME),
    "value_iteration_frozenlake": ("value_iteration_frozenlake", [], success, 0.7401, MANY),
    "value_iteration_frozenlake, policy": ("value_iteration_frozenlake", ["--method=policy"], success, 0.7401, MANY),
    "monte_carlo_blackjack": ("monte_carlo_blackjack", [], as_published, 0.95, MANY),
    "q_learning_cliffwalking": ("q_learning_cliffwalking", [], mean_score, -13, MANY),
    "sarsa_cliffwalking": ("sarsa_cliffwalking", [], online, -40, MANY),
    "neural_evolutionary_agent": ("neural_evolutionary_agent", [], last_generation, 0.95, MANY),
    "reinforce_cartpole": ("reinforce_cartpole", [], mean_score, 475, MANY),
    "reinforce_dropout_cartpole": ("reinforce_dropout_cartpole", [], mean_score, 475, MANY),
    "actor_critic_cartpole": ("actor_critic_cartpole", [], mean_score, 475, MANY),
    "actor_critic_two_networks": ("actor_critic_two_networks", [], mean_score, 475, MANY),
    "compiled_actor_critic_cartpole": ("compiled_actor_critic_cartpole", [], mean_score, 475, MANY),
    "compiled_ppo_cartpole": ("compiled_ppo_cartpole", [], mean_score, 475, MANY),
    "compiled_ppo_breakout": ("compiled_ppo_breakout", [], mean_score, 20, FEW),
    "dqn_cartpole": ("dqn_cartpole", [], mean_score, 475, MANY),
    "double_dqn_cartpole": ("double_dqn_cartpole", [], mean_score, 475, MANY),
    "dueling_dqn_cartpole": ("dueling_dqn_cartpole", [], mean_score, 475, MANY),
    "prioritized_dqn_cartpole": ("prioritized_dqn_cartpole", [], mean_score, 475, MANY),
    "c51_cartpole": ("c51_cartpole", [], mean_score, 475, SOME),
    "qr_dqn_cartpole": ("qr_dqn_cartpole", [], mean_score, 475, SOME),
    "drqn_cartpole": ("drqn_cartpole", [], mean_score, 475, SOME),
    "pqn_cartpole": ("pqn_cartpole", [], mean_score, 475, MANY),
    "a2c_cartpole": ("a2c_cartpole", [], mean_score, 475, SOME),
    "ppo_cartpole": ("ppo_cartpole", [], mean_score, 475, MANY),
    "masked_ppo_gridworld": ("masked_ppo_gridworld", [], mean_score, -5, MANY),
    "ppo_pendulum": ("ppo_pendulum", [], mean_score, -165, MANY),
    "ppo_pendulum, lambda 0.95": ("ppo_pendulum", ["--gae_lambda=0.95"], mean_score, -165, MANY),
    "ddpg_pendulum": ("ddpg_pendulum", [], mean_score, -152, SOME),
    "td3_pendulum": ("td3_pendulum", [], mean_score, -152, SOME),
    "sac_pendulum": ("sac_pendulum", [], mean_score, -157, SOME),
    "nfq_gridworld": ("nfq_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1, MANY),
    "nfq_gridworld, obstacle": ("nfq_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1, MANY),
    "nfq_gridworld, random goal": ("nfq_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1, MANY),
    "dqn_gridworld": ("dqn_gridworld", ["--env_id=grids/Simple-v0"], shortest, 1, SOME),
    "dqn_gridworld, obstacle": ("dqn_gridworld", ["--env_id=grids/Obstacle-v0"], shortest, 1, SOME),
    "dqn_gridworld, random goal": ("dqn_gridworld", ["--env_id=grids/RandomGoal-v0"], reached, 1, SOME),
}

# name of the runs → what the text prints itself, and the best that others publish, with its budget
RICHERT, NOTES, NEUROMATCH = "Richert, Coelho, Brucher", "notes on Géron", "Neuromatch W3D4"
SUTTON = "[Sutton and Barto](http://incompleteideas.net/book/the-book-2nd.html)"
ZOO = "[RL Baselines3 Zoo](https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/benchmark.md)"
LAKE, POLE = "none found; the best policy has 0.7402", f"500, DQN in 50,000 steps, {ZOO}"
BESIDE = {
    "hardcoded_cartpole": (f"{NOTES}: none printed", "none found"),
    "q_table_frozenlake": (f"{RICHERT}: none printed; 0.0818 with all its settings", LAKE),
    "q_table_frozenlake, gamma 0.95": (
        f"{RICHERT}: none printed; 0.0818 with all its settings",
        "none found; the best policy for this discount has 0.7298",
    ),
    "q_network_frozenlake": (f"{RICHERT}: none printed; 0.5886 with all its settings", LAKE),
    "value_iteration_frozenlake": ("none", LAKE),
    "value_iteration_frozenlake, policy": ("none", LAKE),
    "monte_carlo_blackjack": ("none", f"1, because the measure is figure 5.2 of {SUTTON}"),
    "q_learning_cliffwalking": ("none", "none found; the shortest way has -13"),
    "sarsa_cliffwalking": ("none", f"about -26 in 500 games, example 6.6 of {SUTTON}"),
    "neural_evolutionary_agent": ("Palanisamy: -6.23, 10 generations of 70 games", "none found; the best policy has 1"),
    "reinforce_cartpole": (f"{NOTES}: 198.8 of at most 200, the mean of 5 games after 450 of training", POLE),
    "reinforce_dropout_cartpole": (f"{NEUROMATCH}: none printed, its cells stop with an error", POLE),
    "actor_critic_cartpole": ("notebook of the TensorFlow tutorial: none printed", POLE),
    "actor_critic_two_networks": (f"{NEUROMATCH}: none printed, its cells stop with an error", POLE),
    "compiled_actor_critic_cartpole": ("none", POLE),
    "compiled_ppo_cartpole": ("none", POLE),
    "compiled_ppo_breakout": ("none", "none found with sticky actions and games of at most 1,000 steps"),
    **dict.fromkeys(
        ("dqn_cartpole", "double_dqn_cartpole", "dueling_dqn_cartpole", "prioritized_dqn_cartpole", "c51_cartpole"),
        ("none", POLE),
    ),
    "qr_dqn_cartpole": ("none", POLE),
    "drqn_cartpole": ("none", "none found"),
    "pqn_cartpole": ("none", POLE),
    "a2c_cartpole": ("none", f"500, A2C in 500,000 steps, {ZOO}"),
    "ppo_cartpole": ("none", f"500, PPO in 100,000 steps, {ZOO}"),
    "masked_ppo_gridworld": ("none", "none found; the shortest ways take 3.03 steps on average"),
    "ppo_pendulum": ("none", f"-172.2, PPO in 100,000 steps, {ZOO}"),
    "ppo_pendulum, lambda 0.95": ("none", f"-172.2, PPO in 100,000 steps, {ZOO}"),
    "ddpg_pendulum": ("none", f"-152, DDPG in 20,000 steps, {ZOO}"),
    "td3_pendulum": ("none", f"-152, TD3 in 20,000 steps, {ZOO}"),
    "sac_pendulum": ("none", f"-157, SAC in 20,000 steps, {ZOO}"),
    "nfq_gridworld": (f"{NEUROMATCH}: return -990 in 5 of 5 games, the goal is never reached", "none found"),
    "nfq_gridworld, obstacle": (f"{NEUROMATCH}: none printed", "none found"),
    "nfq_gridworld, random goal": (f"{NEUROMATCH}: none printed", "none found"),
    "dqn_gridworld": (f"{NEUROMATCH}: none printed", "none found"),
    "dqn_gridworld, obstacle": (f"{NEUROMATCH}: none printed", "none found"),
    "dqn_gridworld, random goal": (f"{NEUROMATCH}: none printed", "none found"),
}


def folder_of(name):
    """What the folder of a run's results is called."""
    return name.replace(", ", "_").replace(" ", "_")


def run(name, seed, folder):
    """One run on one core in a process of its own; does nothing where the same commit has finished it already."""
    done = folder / "finished.json"
    if done.exists() and json.loads(done.read_text())["git_commit"] == commit():
        return
    shutil.rmtree(folder, ignore_errors=True)
    recipe, flags, *_ = GOALS[name]
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    command = [sys.executable, f"recipes/{recipe}.py", *flags, f"--seed={seed}", f"--logdir={folder}"]
    begin = time.monotonic()
    environment = os.environ | one_core | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    write_json(done, {"process_seconds": round(time.monotonic() - begin, 2), "git_commit": commit()})
    print(f"{name}, seed {seed}: {GOALS[name][2](folder):.4f}", flush=True)


def publish(name, seeds):
    """Write what the runs of a name have come to into their folder of results."""
    recipe, flags, value, *_ = GOALS[name]
    runs = [RAW / folder_of(name) / str(seed) for seed in seeds]
    folder = RESULTS / folder_of(name)
    folder.mkdir(exist_ok=True)
    last = [{column: of[-1] for column, of in read_episodes(path).items()} for path in runs]
    configs = [json.loads((path / "config.json").read_text()) for path in runs]
    times = {
        "seconds": [end["seconds"] for end in last],
        "process_seconds": [json.loads((path / "finished.json").read_text())["process_seconds"] for path in runs],
        **{key: configs[0][key] for key in ("versions", "machine", "git_commit")},
    }
    plot_runs(
        folder / "seeds.png",
        {" ".join([recipe, *flags]): [smoothed(path) for path in runs]},
        title=f"{len(runs)} seeds",
    )
    write_json(folder / "times.json", times)
    rows = zip(seeds, map(value, runs), last, strict=True)
    lines = [f"{seed},{float(reached):.6g},{end['episode']:.0f},{end['step']:.0f}" for seed, reached, end in rows]
    write_text(folder / "runs.csv", "\n".join(["seed,value,games,steps", *lines]) + "\n")


def read_results():
    """What book/results/ has: name → columns of runs.csv and what times.json has."""
    folders = {name: RESULTS / folder_of(name) for name in GOALS}
    return {
        name: {**read_csv(folder / "runs.csv"), **json.loads((folder / "times.json").read_text())}
        for name, folder in folders.items()
        if (folder / "runs.csv").exists()
    }


def keep(name):
    """Run seed 0 and keep its pictures, settings and evaluation, which the pages show."""
    path, folder = RAW / folder_of(name) / "0", RESULTS / folder_of(name)
    run(name, 0, path)
    folder.mkdir(exist_ok=True)
    for file in (*path.glob("*.png"), path / "evaluation.json"):
        shutil.copy(file, folder)
    config = json.loads((path / "config.json").read_text())
    config["arguments"]["logdir"] = "runs"  # the folder of this machine says nothing
    write_json(folder / "config.json", config)


HEAD = """# Results over many seeds

Made by `python benchmarks/results.py`. Every run has the defaults of its recipe but for the flags shown, and one core.
The seeds are those from 1000 on, not used to choose settings; while a recipe was written, it was tried on seeds from 0
on. Numbers are the median over the seeds (lowest to highest). Training ends by the recipe's own rule, and what is
measured is apart from it. Games and steps are those of finished games. Seconds: of training, evaluations in between
included, then of the whole process; other programs ran beside some of these runs, so they are up to twice what an idle
machine takes. Each folder here has the runs of one name: `runs.csv`, `times.json`, and `seeds.png` with every run and
the interquartile mean.

The results of Breakout are of a time when neighbouring seeds were evaluated in nearly the same 100 games, so the spread
over its seeds is a little too small.

Returns of Pendulum depend on the start of a game: single games deviate by about 85, so means of 100 games by 8.5, even
for the same policy. Half the seeds of a policy that reaches a goal exactly are below it. The mean over the seeds, in
[bars.md](bars.md), says more there.

*The text* is the score that a text prints for its own program: *none printed* where it prints no score, *none* where
none of the five texts has the program. *With all its settings* means the recipe with every setting as the text has it,
measured here and reported on the recipe's page. *Best public* is the best score found that others publish for no more
steps or games than ours. Where none was found, the score of the best policy stands there, if it is known. Which
recipe reaches which of them, in these and other worlds, is in [bars.md](bars.md).
"""
COLUMNS = ("command", "measured", "median (lowest to highest)", "goal", "games", "steps", "training", "process")


def cells(name, of):
    """The columns of one name."""
    recipe, flags, value, goal, _ = GOALS[name]
    measured = value.__doc__.rstrip(".")[0].lower() + value.__doc__.rstrip(".")[1:]
    seconds = [f"{spread(of[key])} s" for key in ("seconds", "process_seconds")]
    reached = f"{(of['value'] >= goal).sum()} of {len(of['value'])} at {goal:g} or more"
    return [
        f"{recipe}.py {' '.join(flags)}".strip(), measured, spread(of["value"], ".4f"), reached, spread(of["games"]),
        spread(of["steps"]), *seconds,
    ]  # fmt: skip


def spread(values, digits=""):
    """The median, and in brackets the lowest and the highest of values that differ."""

    def text(value):
        if digits:
            return f"{value:{digits}}".rstrip("0").rstrip(".")
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"

    low, middle, high = (text(f(values)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def markdown(results, recipe=""):
    """The table of one recipe, or of all, and then with the scores of the texts and of others beside ours."""
    names = [name for name in results if recipe in ("", GOALS[name][0])]
    rows = [cells(name, results[name]) for name in names]
    lines = [COLUMNS, *([f"`{row[0]}`", *row[1:]] for row in rows)]
    if not recipe:
        beside = [("the text", "best public"), *(BESIDE[name] for name in names)]
        lines = [[*line[:4], *two, *line[4:]] for line, two in zip(lines, beside, strict=True)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sentence(name, of):
    """What a reader remembers of the runs of a name."""
    recipe, flags, value, goal, _ = GOALS[name]
    good = of["value"] >= goal
    command = f"`{recipe}.py{''.join(f' {flag}' for flag in flags)}`"
    games = f" after at most {of['games'][good].max():,.0f} games" if good.any() else ""
    measured = value.__doc__.rstrip(".")
    return (
        f"{good.sum()} of {len(good)} runs of {command} score {goal:g} or more{games}. "
        f"The measure is the {measured[0].lower() + measured[1:]}."
    )


def in_page(text, results):
    """A page with what stands between its marks made anew: table, sentences and pictures of one recipe."""

    def block(mark):
        parts = [markdown(results, mark[1])]
        for name in (name for name in results if GOALS[name][0] == mark[1]):
            picture = f"results/{folder_of(name)}/seeds.png"
            words = textwrap.fill(sentence(name, results[name]), 120, break_long_words=False, break_on_hyphens=False)
            parts.append(f"{words}\n\n![every seed, and their interquartile mean]({picture})")
        return "\n".join([f"<!-- results of {mark[1]} -->", "\n\n".join(parts), "<!-- end -->"])

    return MARKED.sub(block, text)


MARKED = re.compile(r"<!-- results of (\w+) -->\n.*?<!-- end -->", re.DOTALL)
SHORT = {
    mean_score: "return {}", success: "success {}", last_generation: "reward {} of 1",
    online: "return {} in training", as_published: "{} of the cells right", shortest: "{} of the goals",
    reached: "{} of the goals",
}  # fmt: skip
ROW = re.compile(r"^\| `recipes/(\w+)\.py` \|(.*)\|[^|\n]*\|[^|\n]*\|$", re.MULTILINE)


def syllabus(text, results):
    """README with the last two columns of its table of recipes made anew: score and seconds over the seeds."""

    def row(mark):
        recipe = mark[1]
        names = [name for name in results if GOALS[name][0] == recipe]
        if names:
            of, measure = results[names[0]], GOALS[names[0]][2]
            is_share = measure in (as_published, shortest, reached)
            score = SHORT[measure].format(in_short(100 * of["value"], " %") if is_share else in_short(of["value"]))
            took = duration(statistics.median(of["seconds"]))
        elif (RESULTS / recipe / "pong.json").exists():  # by benchmarks/pong.py
            runs = next(iter(json.loads((RESULTS / recipe / "pong.json").read_text()).values()))
            few = {1: ", one seed", 2: ", two seeds"}.get(len(runs), "")
            score = f"Pong {in_short([run['score'] for run in runs])}{few}"
            took = duration(60 * statistics.median(run["minutes"] for run in runs))
        else:
            score, took = "not measured", ""
        return f"| `recipes/{recipe}.py` |{mark[2]}| {score} | {took} |"

    return ROW.sub(row, text)


def in_short(values, unit=""):
    """The median, and the lowest if it is another number."""
    middle, low = (f"{value:.4g}{unit}" for value in (statistics.median(values), min(values)))
    return middle if low == middle else f"{middle} (lowest {low})"


def duration(seconds):
    return f"{seconds:.1g} s" if seconds < 1 else f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


HEADLINE = re.compile(r"^(Five|\d+) seeds, .*:$")


def in_docstring(text, results, recipe):
    """A recipe with the paragraphs after the line "… seeds, …:" in its docstring made anew."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if HEADLINE.match(line))
    end = next(i for i in range(start + 1, len(lines)) if lines[i] and not lines[i].startswith("    "))
    mine = {name: of for name, of in results.items() if GOALS[name][0] == recipe}
    processor = next(iter(mine.values()))["machine"]["processor"]
    count = len(next(iter(mine.values()))["value"])
    head = f"{count} seeds, median (lowest to highest), one core of an {processor}, by `benchmarks/results.py`:"
    gap = [] if lines[end].startswith('"""') else [""]
    return "\n".join([*lines[:start], head, "", *plain(mine).splitlines(), *gap, *lines[end:]]) + "\n"


def plain(results):
    """The tables of one recipe for a docstring, a paragraph of lines for each command."""
    parts = []
    for command, measured, value, goal, games, steps, seconds, whole in (cells(*row) for row in results.items()):
        lines = ((measured, f"{value}; {goal}"), ("games", games), ("steps", steps))
        lines = (*lines, ("training", seconds), ("whole process", whole))
        width = max(len(label) for label, _ in lines)
        head = [f"    {flags}" for flags in command.split(" ", 1)[1:]]
        parts.append("\n".join([*head, *(f"    {label:<{width}}  {text}" for label, text in lines)]))
    return "\n\n".join(parts)


def texts(results):
    """Every text that shows these results → its content with the figures as they are in the results."""
    machines = sorted({f"one core of {of['machine']['processor']}" for of in results.values()})
    versions = sorted({", ".join(f"{k} {v}" for k, v in of["versions"].items()) for of in results.values()})
    last = f"Machine: {'; '.join(machines)}. Versions: {'; '.join(versions)}.\n"
    readme = ROOT / "README.md"
    found = {
        RESULTS / "README.md": f"{HEAD}\n{markdown(results)}\n\n{last}",
        readme: syllabus(readme.read_text(), results),
    }
    for page in sorted((ROOT / "book").glob("*.md")):
        if MARKED.search(page.read_text()):
            found[page] = in_page(page.read_text(), results)
    for recipe in sorted({GOALS[name][0] for name in results}):
        path = ROOT / "recipes" / f"{recipe}.py"
        if any(HEADLINE.match(line) for line in path.read_text().splitlines()):
            found[path] = in_docstring(path.read_text(), results, recipe)
    return found


def between_marks(page, name, text):
    """The text of a page with other lines between `<!-- name -->` and the next `<!-- end -->`."""
    before, rest = page.split(f"<!-- {name} -->\n")
    return f"{before}<!-- {name} -->\n{text}\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}"


def clean_tree():
    """Exit unless the code, as it stands, is that of a commit: results come from what can be had again."""
    programs = ["git", "-C", str(ROOT), "status", "--porcelain", "--", "benchmarks"]
    if not commit() or commit().endswith("-dirty") or subprocess.check_output(programs):
        sys.exit("the code has changes that no commit holds: commit them first, for results come from a commit")


def run_all(*words):
    """Run what is missing or named, and say where some seed missed its goal."""
    again = tuple(GOALS) if words == ("all",) else words
    if words == ("texts",):
        again, names = (), []
    elif words == ("pictures",):
        clean_tree()
        for name in GOALS:
            keep(name)
        return
    elif unknown := sorted({*again} - {*GOALS}):
        sys.exit(f"no such run: {'; '.join(unknown)}. There are: {'; '.join(GOALS)}")
    else:
        there = read_results()
        names = [n for n in GOALS if n in again or n not in there or len(there[n]["value"]) < GOALS[n][4]]
    if names:
        clean_tree()
    for name in names:
        seeds = range(FIRST, FIRST + GOALS[name][4])
        if name in again:
            shutil.rmtree(RAW / folder_of(name), ignore_errors=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda seed, name=name: run(name, seed, RAW / folder_of(name) / str(seed)), seeds))
        publish(name, seeds)
    results = read_results()
    for path, text in texts(results).items():
        write_text(path, text)
    missed = [name for name, of in results.items() if min(of["value"]) < GOALS[name][3]]
    if missed:
        print(f"some seed missed the goal: {'; '.join(missed)}")


if __name__ == "__main__":
    run_all(*sys.argv[1:])  # not by Fire, which takes a name with a comma for two
