r"""Value iteration: the best policy of a lake whose ice is known, calculated without a single step on it.

The value of a state is that of its best action: the expected reward plus the discounted value of the state that
follows. This is Bellman's optimality equation. Used as an assignment again and again, it leads to its solution.

    (1) q from v: q(s, a) = r(s, a) + gamma * sum over s' of p(s' | s, a) v(s'), where a terminated game has no s'
    (2) v from q: v(s) = max_a q(s, a); with --method=policy v is instead the exact value of the policy that is greedy
        for q, the solution of the linear system v = r + gamma * P v (policy iteration)
    (3) play one game with the greedy policy, which shows what is known so far and teaches nothing

Source: Sutton and Barto, Reinforcement Learning, 2nd edition, sections 4.4 (value iteration) and 4.3 (policy iteration)
(http://incompleteideas.net/book/the-book-2nd.html).

Differs from the source in (book/value_iteration_frozenlake.md):

                 here                                    source
    sweep        all states at once from the old values  one state after another, in place
    evaluation   of a policy by a linear system          by sweeps until they change little

    python recipes/value_iteration_frozenlake.py

30 seeds, median (lowest to highest), one core of an AMD EPYC, by `benchmarks/results.py`:

    exact probability of success of the greedy policy  0.7402; 30 of 30 at 0.7401 or more
    games                                              504
    steps                                              22,068 (21,195 to 23,226)
    training                                           2.152 (1.95 to 3.302) s
    whole process                                      9.915 (8.98 to 13.07) s

    --method=policy
    exact probability of success of the greedy policy  0.7402; 30 of 30 at 0.7401 or more
    games                                              7
    steps                                              214.5 (108 to 371)
    training                                           0.011 (0.009 to 0.019) s
    whole process                                      7.18 (6.3 to 9.02) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, UsageError, strict, validated
from common.lazy import keras
from common.plots import draw_map, plot_sweeps
from common.run import Run
from envs.checked import make, make_vec
from envs.tabular import greedy_policy, is_lake, letters, moves, success_probability, transition_arrays


def build_table_model(num_states, num_actions):
    """A table as a network: number of the state [B] → q of every action, [B, A]; its one weight is the table."""
    state = keras.Input((), dtype="int64")
    return keras.Model(state, keras.layers.Embedding(num_states, num_actions, name="q")(state), name="q_table")


def action_values(reward, probability, v, gamma):
    """Bellman's right-hand side: reward [S, A], probability [S, A, S] of going on in a state, v [S] → q [S, A]."""
    following = probability @ v  # [S, A]
    assert reward.shape == following.shape
    return reward + gamma * following


def policy_values(reward, probability, policy, gamma):
    """The exact values [S] of the policy that takes action policy[s], [S], in state s; `gamma` is below 1."""
    s = np.arange(len(policy))
    reward, probability = reward[s, policy], probability[s, policy]  # [S], [S, S]
    return np.linalg.solve(np.eye(len(s)) - gamma * probability, reward)


def state_values(q, reward, probability, gamma, method):
    """v [S] from q [S, A]: of the best action, or with the method "policy" of the policy that is greedy for q."""
    if method == "policy":
        return policy_values(reward, probability, q.argmax(axis=1), gamma)
    return q.max(axis=1)


def play(env, policy):
    """Play one game with the action policy[s], [S], in each state s → its first state, return and length."""
    s, _ = env.reset()
    first, score, length, ended = s, 0.0, 0, False
    while not ended:
        s, reward, terminated, truncated, _ = env.step(int(policy[s]))
        score, length, ended = score + reward, length + 1, terminated or truncated
    return first, score, length


def plot_kept_sweeps(path, letters, model, gamma, method, count):
    """The values of `model` (reward, probability) after sweeps 1, 2, 4, 8, … and the last, `count`, as one picture."""
    kept, v = {}, np.zeros(len(model[0]))
    for sweep in range(1, count + 1):
        v = state_values(action_values(*model, v, gamma), *model, gamma, method)
        if sweep & (sweep - 1) == 0 or sweep == count:  # a power of two has one bit
            kept[f"sweep {sweep}"] = v.reshape(len(letters), -1)
    plot_sweeps(path, letters, kept)


@validated
def train(
    env_id: str = "FrozenLake-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    max_steps: Count = 100,
    method: Literal["value", "policy"] = "value",
    gamma: Probability = 0.99,
    tolerance: Positive = 1e-9,
    eval_interval: Natural = 5000,
    eval_episodes: Natural = 100,
    save_interval: Count = 2000,
) -> Path:
    """Calculate the table of action values of a world whose transitions are known and save it as a Keras model.

    Args:
        env_id: FrozenLake-v1, or an environment with numbered states whose env.unwrapped.P holds its transitions.
        episodes: sweeps at most; after each one game is played.
        seed: random seed of the games; the values do not depend on it.
        logdir: folder of the run; runs/value_iteration_frozenlake/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        max_steps: steps after which a game is truncated; the values know no time limit.
        method: value or policy iteration.
        gamma: discount factor per step.
        tolerance: the last sweep changes no value by more than this.
        eval_interval: steps between two evaluations during the sweeps; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    if method == "policy" and gamma == 1:
        raise UsageError("--method=policy needs --gamma below 1: a policy whose games never end may have no value at 1")
    run = Run("value_iteration_frozenlake", locals(), ("change", "start_value"), {"max_episode_steps": max_steps})
    env = make(env_id, "numbers", run.env_kwargs)
    make_envs = partial(make_vec, env_id, kind="numbers", env_kwargs=run.env_kwargs)
    probability, reward = transition_arrays(env)
    rng = np.random.default_rng(seed)
    env.unwrapped.np_random = rng
    model, v, q = build_table_model(*reward.shape), np.zeros(len(reward)), np.zeros(reward.shape)

    def table():
        model.set_weights([q])
        return model

    carry = run.begin(model=table, v=v, q=q, change=1e9, start_value=0.0, rng=rng, step=0)

    with closing(env), run:
        while run.episode < episodes and carry.change > tolerance and not run.interrupted:
            # (1) q from v.
            q[...] = action_values(reward, probability, v, gamma)

            # (2) v from q.
            before, v[...] = v.copy(), state_values(q, reward, probability, gamma, method)
            carry.change = float(abs(v - before).max())

            # (3) Play one game.
            start, score, length = play(env, q.argmax(axis=1))
            carry.start_value = float(v[start])

            # Report.
            own = {"change": carry.change, "start_value": carry.start_value}
            carry.step = run.log_games(carry.step, [score], [length], **own)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.note(start_value=carry.start_value)
    if moves(env):  # it has a map
        draw_map(run.dir, letters(env), q, moves(env))
        plot_kept_sweeps(run.dir / "sweeps.png", letters(env), (reward, probability), gamma, method, run.episode)
    if is_lake(env):
        policy = greedy_policy(q.astype(np.float32))  # as the model holds it
        success = success_probability(env.unwrapped.P, policy, max_steps)
        run.note(success_probability=success)
        print(f"{env_id}: exact probability that the greedy policy succeeds within {max_steps} steps: {success:.4f}")
    run.tell(is_final=carry.change <= tolerance)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
