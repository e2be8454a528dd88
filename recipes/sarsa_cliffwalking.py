r"""SARSA on a cliff: learn what the actions are worth that are really taken, and keep away from the edge.

The target asks what the next action is worth that exploration has chosen, falls included. So SARSA learns that the edge
of the cliff is dangerous for a walker that stumbles, and walks round.

    (1) act: take the action that was chosen, and choose the next one: the best of the row, with probability epsilon a
        random one
    (2) target: y = r + gamma * Q[s', a'], where a' is the next action, and y = r where the game terminated; with
        --expected Q[s', a'] becomes its mean over the next actions of the epsilon-greedy policy
    (3) move Q[s, a] towards y; with --trace_decay above 0 the pairs before it move along, less the longer they are past

Source: Sutton and Barto, Reinforcement Learning, 2nd edition, section 6.4 and example 6.6, for --expected section 6.6,
for --trace_decay section 12.7 with replacing traces (http://incompleteideas.net/book/the-book-2nd.html).

Differs from the source in (book/cliffwalking.md):

                 here                                    source
    games        truncated after 1,000 steps             end at the goal alone

    python recipes/sarsa_cliffwalking.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of the last 100 games of training  -23.695 (-53.59 to -21.08); 29 of 30 at -40 or more
    games                                          500
    steps                                          12,919 (11,957 to 16,470)
    training                                       0.3585 (0.284 to 1.636) s
    whole process                                  5.865 (5.37 to 7.3) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, strict, validated
from common.lazy import keras
from common.plots import draw_map
from common.run import Run
from envs.checked import make, make_vec
from envs.tabular import greedy_path, letters, moves


def build_table_model(num_states, num_actions):
    """A table as a network: number of the state [B] → q of every action, [B, A]; its one weight is the table."""
    state = keras.Input((), dtype="int64")
    return keras.Model(state, keras.layers.Embedding(num_states, num_actions, name="q")(state), name="q_table")


def epsilon_greedy(row, epsilon, rng):
    """The action with the highest q, with probability `epsilon` a random one; row [A] → its index."""
    return int(rng.integers(len(row)) if rng.random() < epsilon else row.argmax())


def td_target(reward, terminated, next_row, next_a, gamma):
    """The reward plus the discounted q of the next action; only a terminated game has no next state."""
    return reward if terminated else reward + gamma * next_row[next_a]


def expected_target(reward, terminated, next_row, epsilon, gamma):
    """The same with the mean q over the next actions of the epsilon-greedy policy."""
    mean = (1 - epsilon) * max(next_row) + epsilon * next_row.mean()
    return reward if terminated else reward + gamma * mean


def learn_game(env, Q, epsilon, expected, step_size, trace_decay, gamma, rng):
    """Play one game and learn from each of its steps; Q [S, A] is changed in place → return and length of the game."""
    traces = np.zeros_like(Q)
    s, _ = env.reset()
    a = epsilon_greedy(Q[s], epsilon, rng)
    score, length, ended = 0.0, 0, False
    while not ended:
        # (1) Act.
        next_s, reward, terminated, truncated, _ = env.step(a)
        next_a = epsilon_greedy(Q[next_s], epsilon, rng)

        # (2) Target.
        y = td_target(reward, terminated, Q[next_s], next_a, gamma)
        if expected:
            y = expected_target(reward, terminated, Q[next_s], epsilon, gamma)

        # (3) Move towards it.
        traces *= gamma * trace_decay
        traces[s, a] = 1
        Q += step_size * (y - Q[s, a]) * traces

        s, a, ended = next_s, next_a, terminated or truncated
        score, length = score + reward, length + 1
    return score, length


@validated
def train(
    env_id: str = "CliffWalking-v1",
    episodes: Count = 500,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    max_steps: Count = 1000,
    epsilon: Probability = 0.1,
    expected: bool = False,
    step_size: Positive = 0.5,
    trace_decay: Probability = 0.0,
    gamma: Probability = 1.0,
    eval_interval: Natural = 5000,
    eval_episodes: Natural = 10,
    save_interval: Count = 5000,
) -> Path:
    """Learn the table of action values of a cliff by SARSA and save it as a Keras model.

    Args:
        env_id: CliffWalking-v1, or an environment with numbered states, or tuples of numbers, and discrete actions.
        episodes: games to play.
        seed: random seed of exploration and of the environment.
        logdir: folder of the run; runs/sarsa_cliffwalking/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        max_steps: steps after which a game is truncated.
        epsilon: probability of a random action.
        expected: bootstrap from the mean over the next actions, not from the one that was chosen.
        step_size: share of the way towards the target that an entry moves.
        trace_decay: lambda; a step leaves gamma * lambda of a trace. 0 is SARSA, 1 is close to Monte Carlo.
        gamma: discount factor per step.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("sarsa_cliffwalking", locals(), env_kwargs={"max_episode_steps": max_steps})
    env = make(env_id, "numbers", run.env_kwargs)
    make_envs = partial(make_vec, env_id, kind="numbers", env_kwargs=run.env_kwargs)
    rng = np.random.default_rng(seed)
    env.unwrapped.np_random = rng  # one generator for exploration and the world
    Q = np.zeros((env.observation_space.n, env.action_space.n))
    model = build_table_model(*Q.shape)

    def table():
        model.set_weights([Q])
        return model

    carry = run.begin(model=table, Q=Q, rng=rng, step=0)

    with closing(env), run:
        while run.episode < episodes and not run.interrupted:
            score, length = learn_game(env, Q, epsilon, expected, step_size, trace_decay, gamma, rng)

            # Report.
            carry.step = run.log_games(carry.step, [score], [length])
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    if moves(env):  # it has a map
        path = greedy_path(env.unwrapped.P, env.reset(seed=0)[0], Q)
        draw_map(run.dir, letters(env), Q, moves(env), path)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
