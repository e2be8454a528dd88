r"""Q-network: the Q-table of a frozen lake as a network of one layer, learnt by gradient descent.

Each state is encoded as a one-hot vector, so each weight of a layer without bias is one entry of a table. The network
can do no more than the table, but it is trained as a larger network would be.

    (1) act: mostly the action with the highest q, with probability epsilon a random one
    (2) target: y = r + gamma * max_a q(s', a), and y = r where the game terminated
    (3) descend the gradient of the squared error (y - q(s, a))²

Source: Richert, Coelho, Brucher, Building Machine Learning Systems with Python, chapter 13
(https://github.com/PacktPublishing/Building-Machine-Learning-Systems-with-Python-Third-edition).

Differs from the text in (book/q_network_frozenlake.md):

                here                                      text
    target      r alone where the game terminated         r + gamma * max q of the last state, too
    epsilon     1 / (1 + step / 12,000), 0.1 at least     1 / (game // 50 + 10)
    rate        2 / (1 + update / 1,000)                  constant 0.1
                of a mean over 32 games: at first an      of one game: an entry moves by 0.2 of its error
                entry moves by 0.125 of its error
    loss        of the action taken                       of all four, three of which are their own target
    games       6,400, 32 side by side                    2,000, one after another
    score       the exact probability of success          mean reward while learning, called a percentage

What one thing of the text at a time does:

    as in the text  probability of success, mean of five seeds
    nothing         0.7402
    target          0.7402
    epsilon         0.7122
    rate            0.5779 with a constant 3.2 of the mean, the text's step for an entry
    loss            0.7402
    games           0.7103
    all             0.5886

    python recipes/q_network_frozenlake.py

10 seeds, median (lowest to highest), one core of an AMD EPYC, by `benchmarks/results.py`:

    exact probability of success of the greedy policy  0.7402 (0.6522 to 0.7402); 9 of 10 at 0.7 or more
    games                                              6,400 (6,400 to 6,401)
    steps                                              139,507 (136,611 to 141,986)
    training                                           8.897 (8.334 to 9.66) s
    whole process                                      14.61 (14.17 to 15.48) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, strict, validated
from common.files import read_episodes
from common.lazy import keras, tf
from common.plots import draw_map, new_figure, rolling, save_figure
from common.run import Run, finite
from envs.checked import make, make_vec
from envs.repeatable import Repeatable
from envs.tabular import greedy_policy, is_lake, letters, moves, success_probability


def build_q_network(num_states, num_actions):
    """Numbers of states [B] → q of every action, [B, A]; the one layer's weights are the table."""
    state = keras.Input((), dtype="int64")
    onehot = keras.layers.CategoryEncoding(num_states, output_mode="one_hot")(state)
    initializer = keras.initializers.RandomUniform(0, 0.0125)
    q = keras.layers.Dense(num_actions, use_bias=False, kernel_initializer=initializer, name="q")(onehot)
    return keras.Model(state, q, name="q_network")


def td_target(reward, terminated, next_q, gamma):
    """reward [N], terminated [N] (1 or 0), next_q [N, A] → reward plus the discounted best of next_q, [N]."""
    best = tf.reduce_max(next_q, axis=-1)  # [N]
    assert reward.shape == terminated.shape == best.shape
    return reward + gamma * (1 - terminated) * best


def squared_error(q, y, playing):
    """Mean of (y - q)² over the games that are `playing` (1 or 0); all [N] → []."""
    assert q.shape == y.shape == playing.shape
    return tf.reduce_sum(playing * (y - q) ** 2) / tf.maximum(tf.reduce_sum(playing), 1.0)


def make_act(model):
    """Compiled: numbers of states [N] → the action with the highest q, [N]."""
    return tf.function(lambda obs: tf.argmax(model(obs), axis=-1), jit_compile=True)


def make_update(model, optimizer, gamma):
    """Compiled: one gradient step on one step of N games → loss."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, next_obs, reward, terminated, playing):
        # (2) Target.
        y = td_target(reward, terminated, model(next_obs), gamma)  # [N]
        # (3) Descend.
        with tf.GradientTape() as tape:
            q = tf.gather(model(obs), action, axis=1, batch_dims=1)  # [N, A] → [N]
            loss = squared_error(q, y, playing)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return update


def epsilon_at(step, decay_steps, final):
    """Probability of a random action: 1, 1/2 after `decay_steps`, 1/3 after twice as many; never below `final`."""
    return max(final, 1 / (1 + step / decay_steps))


def plot_charts(folder):
    """The text's two charts: reward.png, the mean reward of the last 20 games, and length.png, how long each was."""
    episodes = read_episodes(folder)
    reward, _ = rolling(episodes["episode_return"], 20)
    for name, values, label in (
        ("reward", reward, "mean reward of the last 20 games"),
        ("length", episodes["episode_length"], "steps of the game"),
    ):
        figure = new_figure(8, 4)
        axes = figure.subplots()
        axes.plot(episodes["episode"], values, linewidth=0.6)
        axes.set(xlabel="game", ylabel=label)
        save_figure(figure, folder / f"{name}.png")


@validated
def train(
    env_id: str = "FrozenLake-v1",
    episodes: Count = 6400,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    num_envs: Size = 32,
    epsilon_decay_steps: Count = 12_000,
    epsilon_final: Probability = 0.1,
    gamma: Probability = 0.99,
    learning_rate: Positive = 2.0,
    learning_rate_decay_updates: Count = 1000,
    eval_interval: Natural = 50_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Learn a frozen lake with a network of one layer and save it as a Keras model.

    Args:
        env_id: FrozenLake-v1, FrozenLake8x8-v1, or an environment with numbered states and discrete actions.
        episodes: number of games; games that end in the same step as the last one count, too.
        seed: random seed of the network, exploration and the ice.
        logdir: folder of the run; runs/q_network_frozenlake/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games played side by side.
        epsilon_decay_steps: steps after which a random action has probability 1/2, and 1/3 after twice as many.
        epsilon_final: lowest probability of a random action.
        gamma: discount factor per step.
        learning_rate: initial learning rate of gradient descent.
        learning_rate_decay_updates: updates after which the rate is 1/2 of it, and 1/3 after twice as many.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("q_network_frozenlake", locals(), columns=("epsilon", "mean_loss"))
    make_envs = partial(make_vec, env_id, kind="numbers", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    num_states, num_actions = int(envs.single_observation_space.n), int(envs.single_action_space.n)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_q_network(num_states, num_actions)
    rate = keras.optimizers.schedules.InverseTimeDecay(learning_rate, learning_rate_decay_updates, decay_rate=1.0)
    optimizer = keras.optimizers.SGD(rate)
    act, update = make_act(model), make_update(model, optimizer, gamma)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    carry = run.begin(model=model, optimizer=optimizer, rng=rng, step=0, **games)

    with closing(envs), run:
        while run.episode < episodes and not run.interrupted:
            # (1) Act.
            epsilon = epsilon_at(carry.step, epsilon_decay_steps, epsilon_final)
            explore = rng.random(num_envs) < epsilon
            action = np.where(explore, rng.integers(num_actions, size=num_envs), act(carry.obs))
            next_obs, reward, terminated, truncated, _ = envs.step(action)
            playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # Learn.
            batch = (np.float32(x) for x in (reward, terminated, playing))
            loss = finite(update(carry.obs, action, next_obs, *batch), carry.step)
            carry.obs = next_obs

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, epsilon=epsilon, mean_loss=loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    plot_charts(run.dir)
    env, q = make(env_id, "numbers", run.env_kwargs), model(np.arange(num_states)).numpy()
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
