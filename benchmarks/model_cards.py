"""Train the small models of models/, and write the card of every model there: score over 100 games, what it took.

A card is a JSON file beside the model; models/README.md shows all of them as a table. The Pong model is not trained
again here, it is book/results/dqn_atari_pong's; its card is. A network that was saved by an earlier version of this
repository is written again so that Keras 3.10 and newer load it; its weights stay. Refuses a tree with changes that no
commit holds.

    python benchmarks/model_cards.py [names of models to make anew ... | all | scores, which only plays the games again]
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import fire
import numpy as np
from results import clean_tree

from common.evaluation import evaluate, make_greedy
from common.files import drop_unused_arguments, read_episodes, replacing, write_text
from common.machine import commit
from common.saved import load_policy
from envs.checked import make
from envs.remake import remake
from envs.tabular import greedy_policy, success_probability

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "models"
GAMES, SEED = 100, 2**29
# name → recipe, flags
SMALL = {
    "actor_critic_cartpole": ("actor_critic_cartpole", []),
    "q_table_frozenlake": ("q_table_frozenlake", []),
    "neural_evolutionary_gridworld": ("neural_evolutionary_agent", []),
    "nfq_grid_random_goal": ("nfq_gridworld", ["--env_id=grids/RandomGoal-v0"]),
    "dqn_grid_obstacle": ("dqn_gridworld", ["--env_id=grids/Obstacle-v0"]),
    **{
        recipe: (recipe, [])
        for recipe in (
            "value_iteration_frozenlake", "monte_carlo_blackjack", "q_learning_cliffwalking", "sarsa_cliffwalking",
            "dqn_cartpole", "double_dqn_cartpole", "dueling_dqn_cartpole", "prioritized_dqn_cartpole", "c51_cartpole",
            "qr_dqn_cartpole", "pqn_cartpole", "a2c_cartpole", "ppo_cartpole", "masked_ppo_gridworld", "ppo_pendulum",
            "ddpg_pendulum", "td3_pendulum", "sac_pendulum",
        )
    },
}  # fmt: skip
SEEDS = {"qr_dqn_cartpole": 1}  # of the others 0; here that one ended far below 500
# How a model is scored: share of random actions, and what differs from the environment it was trained in. Greedy games
# of Pong differ in nothing but their idle frames.
GREEDY = [(0.0, {})]
SCORED = {"dqn_atari_pong": [*GREEDY, (0.001, {}), (0.0, {"sticky_actions": 0.25})]}
HEAD = """# Trained models

Plain Keras files: `keras.models.load_model` of Keras 3.10 or newer reads them without this repository, in safe mode,
under TensorFlow, JAX or PyTorch (`benchmarks/keras_versions.py` tries the versions). Observation in, one number per
action out (a Q-network's action values, a policy's logits); the highest is the action to take. Where actions are
vectors, the action itself comes out, in the environment's units. Where a network has several outputs, as those of C51
and QR-DQN have, these numbers are the first. The cards (`.json`) are written by `benchmarks/model_cards.py`, and
`tests/test_models.py` plays each model again.

    python recipes/play.py --model=models/dqn_atari_pong.keras --episodes=10 --video

| model | environment | score (mean ± deviation, lowest to highest, length) | trained | command |
|---|---|---|---|---|"""


def train(name, folder):
    """Run the recipe of a small model and copy what it leaves; returns the command."""
    recipe, flags = SMALL[name]
    command = ["python", f"recipes/{recipe}.py", *flags, f"--seed={SEEDS.get(name, 0)}"]
    subprocess.run([sys.executable, *command[1:], f"--logdir={folder}"], cwd=ROOT, check=True, capture_output=True)
    shutil.copy(folder / "model.keras", MODELS / f"{name}.keras")
    return " ".join(command)


def score(name, env_id, env_kwargs, epsilon):
    """Scores of `GAMES` whole games, greedy but for `epsilon`, in words and as numbers."""
    envs = remake(env_id, env_kwargs, GAMES)
    model = load_policy(MODELS / f"{name}.keras", envs.single_observation_space, envs.single_action_space)
    scores = evaluate(envs, make_greedy(model, epsilon, SEED, envs.single_action_space), SEED)
    envs.close()
    returns = scores.returns
    return {
        "in_words": str(scores), "games": GAMES, "different": scores.different, "epsilon": epsilon,
        "mean": float(returns.mean()), "deviation": float(returns.std()), "min": float(returns.min()),
        "max": float(returns.max()), "length": float(scores.lengths.mean()),
    }  # fmt: skip


def judged(name, env_id, env_kwargs):
    """100 games for each way to score a model, and of a frozen lake the exact probability of success."""
    ways = SCORED.get(name, GREEDY)
    scores = [{**score(name, env_id, {**env_kwargs, **new}, epsilon), **new} for epsilon, new in ways]
    found = {"scores": scores, "scored_at": commit()}
    env = make(env_id, "numbers", env_kwargs) if env_id.startswith("FrozenLake") else None
    if env:
        q = load_policy(MODELS / f"{name}.keras", env.observation_space, env.action_space)(np.arange(16))
        policy = greedy_policy(np.array(q))
        found["success_probability"] = success_probability(env.unwrapped.P, policy, env.spec.max_episode_steps)
    return found


def card(name, run, command):
    """What there is to know of a model, from its run's folder and its games."""
    config, episodes = json.loads((run / "config.json").read_text()), read_episodes(run)
    env_id, env_kwargs = config["arguments"]["env_id"], config.get("env_kwargs", {})
    return {
        "recipe": config["recipe"],
        "env_id": env_id,
        "env_kwargs": env_kwargs,
        **judged(name, env_id, env_kwargs),
        "seed": config["arguments"]["seed"],
        "steps": int(episodes["step"][-1]),
        "minutes": round(float(episodes["seconds"][-1]) / 60, 2),
        "machine": config["machine"],
        "versions": config["versions"],
        "command": command,
        "git_commit": config["git_commit"],
    }


def row(name, card):
    """A line of the table in models/README.md."""
    machine, scored = card["machine"], []
    for score in card["scores"]:
        how = "greedy" if not score["epsilon"] else f"epsilon {score['epsilon']}"
        how += f", sticky actions {score['sticky_actions']}" if "sticky_actions" in score else ""
        scored.append(f"{how}: {score['in_words']}")
    if "success_probability" in card:
        scored.append(f"exact probability of success {card['success_probability']:.4f}")
    scored = "; ".join(scored)
    trained = f"seed {card['seed']}, {card['steps']:,} steps, {card['minutes']:g} minutes, {machine['processor']}, "
    trained += f"{machine['cores']} cores, commit {card['git_commit']}"
    where = card["env_id"] + "".join(f", {key}={value}" for key, value in card["env_kwargs"].items())
    return f"| `{name}.keras` | `{where}` | {scored} | {trained} | `{card['command']}` |"


def main(*again):
    """Make what is missing or named, or `all`; or judge what is there: `scores`."""
    again = {*SMALL, "dqn_atari_pong"} if again == ("all",) else again
    clean_tree()
    for name in SMALL:
        if name in again or not (MODELS / f"{name}.json").exists():
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                made = card(name, run, train(name, run))
                write_text(MODELS / f"{name}.json", json.dumps(made, indent=2) + "\n")
    pong = MODELS / "dqn_atari_pong.json"
    if "dqn_atari_pong" in again or not pong.exists():
        run = ROOT / "book" / "results" / "dqn_atari_pong"
        arguments = json.loads((run / "config.json").read_text())["arguments"]
        shown = ("env_id", "episodes", "n_step", "learning_rate", "train_interval", "epsilon_decay_steps")
        command = " ".join(["python recipes/dqn_atari.py", *(f"--{key}={arguments[key]}" for key in shown)])
        write_text(pong, json.dumps(card("dqn_atari_pong", run, command), indent=2) + "\n")
    for path in sorted(MODELS.glob("*.json")) if again == ("scores",) else ():
        before = {name: value for name, value in json.loads(path.read_text()).items() if name != "score"}
        found = {**before, **judged(path.stem, before["env_id"], before["env_kwargs"])}
        write_text(path, json.dumps(found, indent=2) + "\n")
    for path in sorted(MODELS.glob("*.keras")):
        with replacing(path) as temporary:
            shutil.copy(path, temporary)
            drop_unused_arguments(temporary)
    rows = [row(path.stem, json.loads(path.read_text())) for path in sorted(MODELS.glob("*.json"))]
    write_text(MODELS / "README.md", "\n".join([HEAD, *rows, ""]))


if __name__ == "__main__":
    fire.Fire(main)
