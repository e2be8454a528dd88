r"""Q-table: learn to cross a slippery lake by trial and error.

A table holds Q[s, a], the expected discounted sum of the rewards that follow action a in state s. After every step the
entry of the action taken moves a little towards the reward plus the discounted best entry of the next state.

    (1) act: the best action of the state's row, after adding noise that shrinks with the steps
    (2) target: y = r + gamma * max_a Q[s', a], and y = r where the game terminated
    (3) move Q[s, a] towards y, with a step size that shrinks with the visits to (s, a)

Source: Richert, Coelho, Brucher, Building Machine Learning Systems with Python, chapter 13
(https://github.com/PacktPublishing/Building-Machine-Learning-Systems-with-Python-Third-edition), after Watkins'
Q-learning (https://doi.org/10.1007/BF00992698).

Differs from the text in (book/q_table_frozenlake.md):

                here                                      text
    noise       normal * 0.3 / (1 + step / 2,000)         normal // (step of the game + 1), which rounds down
    discount    0.99, best policy: success 0.7402         0.95, another best policy: success 0.7298
    table       starts at 1, the reward of success        starts at 0
    step size   11 / (10 + visits of (s, a))              constant 0.8
    games       3,000                                     2,000
    score       the exact probability of success          none

What one thing of the text at a time does:

    as in the text  probability of success, mean of ten seeds
    nothing         0.7402
    noise           0.7314
    discount        0.7298
    table           0.6692
    step size       0.6205
    games           0.7402
    everything      0.0818

    python recipes/q_table_frozenlake.py

30 seeds, median (lowest to highest), one core of an AMD EPYC, by `benchmarks/results.py`:

    exact probability of success of the greedy policy  0.7402; 30 of 30 at 0.7401 or more
    games                                              3,000
    steps                                              162,266 (156,415 to 166,980)
    training                                           3.787 (3.113 to 5.545) s
    whole process                                      12.21 (9.66 to 14.77) s

    --gamma=0.95
    exact probability of success of the greedy policy  0.7298; 30 of 30 at 0.7297 or more
    games                                              3,000
    steps                                              87,611 (82,232 to 93,654)
    training                                           1.627 (1.115 to 1.873) s
    whole process                                      8.55 (6.12 to 9.17) s
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
from envs.tabular import greedy_policy, is_lake, letters, moves, success_probability


def build_table_model(num_states, num_actions):
    """A table as a network: number of the state [B] → q of every action, [B, A]; its one weight is the table."""
    state = keras.Input((), dtype="int64")
    return keras.Model(state, keras.layers.Embedding(num_states, num_actions, name="q")(state), name="q_table")


def noisy_best(row, noise, rng):
    """The action with the highest q after normal noise of deviation `noise` is added; row [A] → its index."""
    return int((row + noise * rng.standard_normal(len(row))).argmax())


def td_target(reward, terminated, next_row, gamma):
    """The reward plus the discounted best of the next state's row; only a terminated game has no next state."""
    return reward if terminated else reward + gamma * max(next_row)


def noise_at(step, start, decay_steps):
    """Deviation of the noise: `start` at first, 1/2 of it after `decay_steps`, 1/3 after twice as many."""
    return start / (1 + step / decay_steps)


def step_size(visits, decay_visits):
    """The step size towards the target: 1 at the first visit, about 1/2 at visit `decay_visits`."""
    return (decay_visits + 1) / (decay_visits + visits)


def known(Q, visits):
    """The table [states, A] with 0 where an action was never tried, so that no hole keeps the initial value."""
    return np.where(visits > 0, Q, 0.0)


@validated
def train(
    env_id: str = "FrozenLake-v1",
    episodes: Count = 3000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    initial_q: float = 1.0,
    noise: Positive = 0.3,
    noise_decay_steps: Count = 2000,
    gamma: Probability = 0.99,
    step_size_decay_visits: Count = 10,
    eval_interval: Natural = 100_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Learn the table of action values of a frozen lake and save it as a Keras model.

    Args:
        env_id: FrozenLake-v1, FrozenLake8x8-v1, or an environment with numbered states and discrete actions.
        episodes: games to play.
        seed: random seed of the noise and the ice.
        logdir: folder of the run; runs/q_table_frozenlake/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        initial_q: value of every entry before its first visit; 1 makes untried actions attractive.
        noise: initial standard deviation of the noise on the q values.
        noise_decay_steps: steps after which the noise is 1/2 of its initial value, and 1/3 after twice as many.
        gamma: discount factor per step.
        step_size_decay_visits: visits to a state and action after which the step size is about 1/2.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("q_table_frozenlake", locals(), columns=("noise",))
    env = make(env_id, "numbers", run.env_kwargs)
    make_envs = partial(make_vec, env_id, kind="numbers", env_kwargs=run.env_kwargs)
    rng = np.random.default_rng(seed)
    env.unwrapped.np_random = rng  # one generator for the noise and the ice
    Q = np.full((env.observation_space.n, env.action_space.n), initial_q)
    visits = np.zeros(Q.shape, int)
    model = build_table_model(*Q.shape)

    def table():
        model.set_weights([known(Q, visits)])
        return model

    carry = run.begin(model=table, Q=Q, visits=visits, rng=rng, step=0)

    with closing(env), run:
        while run.episode < episodes and not run.interrupted:
            s, _ = env.reset()
            deviation = noise_at(carry.step, noise, noise_decay_steps)
            score, length, ended = 0.0, 0, False
            while not ended:
                # (1) Act.
                a = noisy_best(Q[s], deviation, rng)
                next_s, reward, terminated, truncated, _ = env.step(a)

                # (2) Target.
                y = td_target(reward, terminated, Q[next_s], gamma)

                # (3) Move towards it.
                visits[s, a] += 1
                Q[s, a] += step_size(visits[s, a], step_size_decay_visits) * (y - Q[s, a])

                s, ended = next_s, terminated or truncated
                score, length = score + reward, length + 1

            # Report.
            carry.step = run.log_games(carry.step, [score], [length], noise=deviation)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    q = known(Q, visits)
    if moves(env):  # it has a map
        draw_map(run.dir, letters(env), q, moves(env))
    if is_lake(env):  # its probabilities are known
        max_steps = env.spec.max_episode_steps
        success = success_probability(env.unwrapped.P, greedy_policy(q), max_steps)
        run.note(success_probability=success)
        print(f"{env_id}: exact probability that the greedy policy succeeds within {max_steps} steps: {success:.4f}")
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
