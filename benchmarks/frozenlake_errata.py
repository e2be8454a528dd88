"""What the repairs of the two FrozenLake recipes are worth: the exact probability of success of what was learnt.

One line per variant: mean and range over seeds. First what is known without playing: the best policy of each discount.

    python benchmarks/frozenlake_errata.py exact
    python benchmarks/frozenlake_errata.py table [--seeds=10]
    python benchmarks/frozenlake_errata.py network [--seeds=5]
"""

import contextlib
import io
import json
import tempfile
from unittest import mock

import fire
import gymnasium as gym
import numpy as np

from common.lazy import tf
from envs.tabular import greedy_policy, success_probability
from recipes import q_network_frozenlake, q_table_frozenlake


def success(recipe, seed, settings, patches):
    """Success probability after one training in which functions of the recipe are replaced by `patches`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for name, function in patches.items():
            stack.enter_context(mock.patch.object(recipe, name, function))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        recipe.train(seed=seed, logdir=f"{folder}/run", eval_interval=0, eval_episodes=0, **settings)
        with open(f"{folder}/run/evaluation.json") as file:
            return json.load(file)["success_probability"]


def compare(recipe, variants, seeds):
    """Print one line per variant: name → (settings, patches)."""
    for name, (settings, patches) in variants.items():
        x = np.array([success(recipe, seed, settings, patches) for seed in range(seeds)])
        best = (x > 0.7401).sum()
        print(f"{name}: {x.mean():.4f} ({x.min():.4f} to {x.max():.4f}), the best policy on {best} of {seeds} seeds")


def exact():
    """Print the best policy's success for each discount, and what decides it: the action values of state 2."""
    transitions = gym.make("FrozenLake-v1").unwrapped.P
    for gamma in (0.9, 0.95, 0.97, 0.98, 0.99, 0.999):
        q = np.zeros((16, 4))
        for _ in range(20_000):
            best = q.max(axis=1)
            for s, actions in transitions.items():
                for a, outcomes in actions.items():
                    q[s, a] = sum(p * (r + gamma * best[s2] * (not end)) for p, s2, r, end in outcomes)
            if np.abs(q.max(axis=1) - best).max() < 1e-12:
                break
        worth = success_probability(transitions, greedy_policy(q.round(9)), 100)
        print(f"discount {gamma}: {worth:.6f}; in state 2 left is worth {q[2, 0]:.4f}, up {q[2, 3]:.4f}")


def noise_by_the_step(divide):
    """The text's noise: a normal draw over the step's number within its game, which hides the game's number."""
    step = 0

    def noise_at(*args):  # once a game
        nonlocal step
        step = 0
        return 1.0

    def noisy_best(row, noise, rng):
        nonlocal step
        step += 1
        return int((row + divide(rng.standard_normal(len(row)), step)).argmax())

    return {"noise_at": noise_at, "noisy_best": noisy_best}


def noise_by_the_game():
    """A normal draw over the game's number."""
    game = 0

    def noise_at(step, start, decay_steps):
        nonlocal game
        game = game + 1 if step else 1
        return 1 / game

    return {"noise_at": noise_at}


def table(seeds=10):
    """The Q-table: the text's settings one by one in the repaired recipe, then all together."""
    constant = {"step_size": lambda visits, decay_visits: 0.8}
    printed = {"gamma": 0.95, "initial_q": 0.0, "episodes": 2000}
    by_game = noise_by_the_game()
    variants = {
        "repaired": ({}, {}),
        "discount 0.95": ({"gamma": 0.95}, {}),
        "constant step size 0.8": ({}, constant),
        "table starts at 0": ({"initial_q": 0.0}, {}),
        "2,000 games": ({"episodes": 2000}, {}),
        "noise floor-divided by the step's number": ({}, noise_by_the_step(np.floor_divide)),
        "noise divided by the step's number": ({}, noise_by_the_step(np.true_divide)),
        "noise divided by the game's number": ({}, by_game),
        "as printed": (printed, {**constant, **noise_by_the_step(np.floor_divide)}),
        "as printed, but a true division": (printed, {**constant, **noise_by_the_step(np.true_divide)}),
        "as printed, but a true division by the game's number": (printed, {**constant, **by_game}),
    }
    compare(q_table_frozenlake, variants, seeds)


def all_four_outputs(model, optimizer, gamma):
    """The text's loss: all outputs against a target that equals them but for the action taken."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, next_obs, reward, terminated, playing):
        y = q_network_frozenlake.td_target(reward, terminated, model(next_obs), gamma)  # [N]
        with tf.GradientTape() as tape:
            q = model(obs)  # [N, A]
            taken = tf.one_hot(action, q.shape[1])  # [N, A]
            target = tf.stop_gradient(q) * (1 - taken) + y[:, None] * taken  # [N, A]
            error = playing * tf.reduce_sum((target - q) ** 2, axis=1)  # [N]
            loss = tf.reduce_sum(error) / tf.maximum(tf.reduce_sum(playing), 1.0)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return update


def network(seeds=5):
    """The Q-network: the text's settings one by one in the repaired recipe, then all together."""
    repaired = q_network_frozenlake.td_target
    beyond_the_end = {"td_target": lambda reward, terminated, q, gamma: repaired(reward, 0 * terminated, q, gamma)}
    constant = {"learning_rate_decay_updates": 10**12}

    def texts_epsilon():
        games, make_vec = 0, q_network_frozenlake.make_vec

        class Counted(gym.vector.VectorWrapper):
            def reset(self, **options):
                nonlocal games
                games = 0
                return self.env.reset(**options)

            def step(self, actions):
                nonlocal games
                obs, reward, terminated, truncated, info = self.env.step(actions)
                games += int((terminated | truncated).sum())
                return obs, reward, terminated, truncated, info

        return {
            "make_vec": lambda *args, **options: Counted(make_vec(*args, **options)),
            "epsilon_at": lambda *args: 1 / (games // 50 + 10),
        }

    printed = {"num_envs": 1, "episodes": 2000, "learning_rate": 0.1, **constant}
    variants = {
        "repaired": ({}, {}),
        "bootstrap beyond the end of the game": ({}, beyond_the_end),
        "loss over all four outputs": ({}, {"make_update": all_four_outputs}),
        "constant learning rate 3.2": ({"learning_rate": 3.2, **constant}, {}),  # the text's step for an entry
        "the text's epsilon": ({}, texts_epsilon()),
        "2,000 games": ({"episodes": 2000}, {}),
        "discount 0.95": ({"gamma": 0.95}, {}),
        "as printed": (printed, {**beyond_the_end, **texts_epsilon(), "make_update": all_four_outputs}),
    }
    compare(q_network_frozenlake, variants, seeds)


if __name__ == "__main__":
    fire.Fire({"exact": exact, "table": table, "network": network})
