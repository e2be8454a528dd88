r"""Q-table: learn to cross a slippery lake from nothing but played games.

A table holds, for each state and action, the discounted reward still to come. After every step the entry of the action
taken moves a little towards the reward plus the best entry of the state it led to.

    (1) act: the best action of the state's row, after noise was added that shrinks from game to game
    (2) target: y = r + gamma * max_a Q[s', a], and y = r where the game terminated
    (3) move Q[s, a] towards y, by a part that shrinks with the visits of (s, a)

Source: Richert, Coelho, Brucher, Building Machine Learning Systems with Python, chapter 13, after Watkins' Q-learning
(1989).

Differs from the text in (book/q_table_frozenlake.md tells what each is worth):

                here                                      text
    noise       0.3 / (1 + game / 200), a true quotient   normal // (step + 1), rounded down to whole numbers
    discount    0.99: the best policy, 0.7402             0.95: another policy is best, 0.7298
    table       starts at 1, what success pays            starts at 0
    step size   11 / (10 + visits of (s, a))              0.8 for ever
    games       3,000                                     2,000
    score       the exact probability of success          none

With one thing of the text at a time, success is, mean of ten seeds: noise 0.73, discount 0.73, table 0.63, step size
0.58, games 0.74. With all of them 0.08.

    python recipes/q_table_frozenlake.py

Succeeds with probability 0.7402 on every one of five seeds, with --gamma=0.95 0.7298: 3,000 games, 138,051 steps, 3.7
(3.4 to 3.7) s of training, 9 s in all; medians, two cores of a Xeon at 2.5 GHz (`benchmarks/five_seeds.py`).
"""

from __future__ import annotations

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Fraction, Positive, Seed, strict
from common.gridplots import plot_action_values, plot_policies
from common.lazy import keras
from common.runlog import RunLog, interruptible
from envs.tabular import LEFT_DOWN_RIGHT_UP, greedy_policy, letters, make_lake, success_probability


def build_table_model(table):
    """The table as a network: number of the state [B] → q of every action, [B, A]."""
    state = keras.Input((), dtype="int64")
    rows = keras.layers.Embedding(*table.shape, name="q")
    model = keras.Model(state, rows(state), name="q_table")
    rows.set_weights([table])
    return model


def noisy_best(row, noise, rng):
    """The action with the highest q after normal noise of deviation `noise` was added to each. [A] → number."""
    return int((row + noise * rng.standard_normal(len(row))).argmax())


def td_target(reward, terminated, next_row, gamma):
    """The reward plus the discounted best of the next state's row; only a terminated game has no next state."""
    return reward if terminated else reward + gamma * max(next_row)


def noise_at(game, start, halving):
    """Deviation of the noise: `start` in the first game, half of it after `halving` games, a third after twice that."""
    return start / (1 + game / halving)


def step_size(visits, halving):
    """The part of the way to the target: all of it at the first visit, about half of it at visit `halving`."""
    return (halving + 1) / (halving + visits)


def train(
    env_id: str = "FrozenLake-v1",
    episodes: Count = 3000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    initial_q: Fraction = 1.0,
    noise: Positive = 0.3,
    noise_halving: Count = 200,
    gamma: Fraction = 0.99,
    step_size_halving: Count = 10,
    save_interval: Count = 1000,
) -> None:
    """Learn the table of action values of a frozen lake and save it as a Keras model.

    Args:
        env_id: FrozenLake-v1 or FrozenLake8x8-v1.
        episodes: whole games to play.
        seed: of the noise and of the ice.
        logdir: folder of the run; runs/q_table_frozenlake/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        initial_q: what every entry of the table is before its first visit; 1 makes the untried attractive.
        noise: deviation of the noise on the q values in the first game.
        noise_halving: games after which the noise is half of that.
        gamma: discount per step.
        step_size_halving: visits of a state and action after which the entry moves about half of the way.
        save_interval: games between two checkpoints.
    """
    arguments = locals()

    # Set up.
    env = make_lake(env_id)
    transitions, max_steps = env.unwrapped.P, env.spec.max_episode_steps
    log = RunLog("q_table_frozenlake", arguments, columns=("noise",))
    rng = np.random.default_rng(seed)
    env.unwrapped.np_random = rng  # one generator for the noise and the ice: a checkpoint restores both
    Q = np.full((env.observation_space.n, env.action_space.n), initial_q)
    visits = np.zeros(Q.shape, int)
    step = 0

    identity = {"recipe": "q_table_frozenlake", "env_id": env_id}

    def save():
        state = {"step": step, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, {}, state, {"Q": Q, "visits": visits})

    def known():
        return np.where(visits > 0, Q, 0.0)  # what was never tried, as in the holes, is not worth 1

    if log.resumed:
        state, arrays = checkpoint.restore(log.dir / "checkpoint", identity, {})
        step, rng.bit_generator.state, Q, visits = state["step"], state["rng"], arrays["Q"], arrays["visits"]
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too
        log.save(build_table_model(known()))

    with log, interruptible() as interrupted:
        while log.episode < episodes and not interrupted():
            s, _ = env.reset()
            deviation = noise_at(log.episode, noise, noise_halving)
            score, length, over = 0.0, 0, False
            while not over:
                # (1) Act.
                a = noisy_best(Q[s], deviation, rng)
                next_s, reward, terminated, truncated, _ = env.step(a)

                # (2) Target.
                y = td_target(reward, terminated, Q[next_s], gamma)

                # (3) Move towards it.
                visits[s, a] += 1
                Q[s, a] += step_size(visits[s, a], step_size_halving) * (y - Q[s, a])

                s, over = next_s, terminated or truncated
                score, length = score + reward, length + 1

            # Report.
            step += length
            log.log_episode(step, score, length, noise=deviation)
            if log.episode % save_interval == 0:
                save()

        # Finish.
        save()
        log.save(build_table_model(known()))
    if interrupted():
        raise KeyboardInterrupt
    ice = letters(env)
    q = known().reshape(len(ice), len(ice[0]), -1)  # [height, width, A]
    plot_action_values(log.dir / "action_values.png", ice, q, LEFT_DOWN_RIGHT_UP)
    plot_policies(log.dir / "policy.png", ice, {"greedy policy": q.argmax(-1)}, LEFT_DOWN_RIGHT_UP)
    success = success_probability(transitions, greedy_policy(known()), max_steps)
    log.save_evaluation(success_probability=success)
    print(f"{env_id}: the greedy policy succeeds with probability {success:.4f} within {max_steps} steps, exactly")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
