r"""PQN, a parallelised Q-network: action values without a replay memory and without a target network.

DQN needs a memory, because the steps of one game resemble each other, and a target network, because targets that move
with the network may run away. PQN plays many games side by side, whose steps differ, learns from them at once and
forgets them. Layer normalisation is to keep the values from running away, and the targets look further than one step.

    (1) act in all games: the action with the highest q, with probability epsilon a random one
    (2) collect `rollout_length` steps of each game
    (3) targets, from the last step backwards: G_t = r_t + gamma * ((1 - lambda) * V_(t+1) + lambda * G_(t+1)), where
        V = max_a q is the value of what was observed; at the last step and where a game was truncated
        r_t + gamma * V_(t+1), where it terminated r_t
    (4) regress q(s, a) onto G with the squared error, `epochs` times over all steps, in minibatches

Source: Gallici et al., Simplifying Deep Temporal Difference Learning (https://arxiv.org/abs/2407.04811).

Differs from the authors' own settings for CartPole in (book/pqn_cartpole.md):

                here                            theirs
    steps       50,000                          500,000
    rollout     32 steps of each of 32 games    64 steps of each of 32 games
    updates     8 times 32 minibatches of 32    4 times 16 minibatches of 128
    network     two layers of 64 units          two layers of 256 units
    optimizer   Adam, 1e-3, linearly to 0       RAdam, 1e-4, linearly to 0
    exploration 1 to 0.04 in 8,000 steps        1 to 0.2 in 100,000
    rewards     as they are                     times 0.1
    loss        squared error                   half of it; both limit the gradient's norm to 10
    truncated   the value of what follows       as if the game had terminated

    python recipes/pqn_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (345.37 to 500); 28 of 30 at 475 or more
    games                            225.5 (193 to 349)
    steps                            50,836 (44,207 to 50,986)
    training                         7.299 (6.003 to 12.59) s
    whole process                    14.68 (13.06 to 24.18) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.networks import mlp
from common.run import Run, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_q_network(obs_size, num_actions, hidden_units):
    """Observations [B, D] → q of every action, [B, A]."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu", normalize=True)
    q = keras.layers.Dense(num_actions, name="q")(hidden)
    return keras.Model(obs, q, name="q_network")


def lambda_returns(reward, discount, next_value, ended, q_lambda):
    """Returns of T steps of N games, all [T, N] → [T, N].

    Args:
        reward: of each step.
        discount: 0 where the game terminated.
        next_value: the value of what is observed after each step, also after the last one of a game.
        ended: bool, the game is over; what the next row holds is another game.
        q_lambda: the weight of the next return; that of the next value is the rest of 1.
    """
    assert reward.shape == discount.shape == next_value.shape == ended.shape

    def backwards(next_return, step):
        reward, discount, next_value, ended = step  # [N]
        mixed = tf.where(ended, next_value, (1 - q_lambda) * next_value + q_lambda * next_return)
        return reward + discount * mixed

    return tf.scan(backwards, (reward, discount, next_value, ended), next_value[-1], reverse=True)


def flat(x):
    """The steps of all games one after the other: [T, N, ...] → [T * N, ...]."""
    return tf.reshape(x, (-1, *x.shape[2:]))


def act(weights, obs):
    """obs [N, D] → the action with the highest q, [N].

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, kernel, bias = weights
    for k, b, scale, shift in zip(*(hidden[i::4] for i in range(4)), strict=True):
        x = obs @ k + b
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-3)
        obs = np.maximum(scale * x + shift, 0)
    return np.argmax(obs @ kernel + bias, axis=-1)


def make_update(model, optimizer, gamma, q_lambda):
    """Compiled: a rollout [T, N, ...] and the rows of each of K minibatches, [K, B] → mean loss."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated, ended, playing, minibatches):
        # (3) Targets.
        best = tf.reduce_max(model(flat(next_obs)), axis=-1)  # [T * N]
        discount = gamma * (1 - tf.cast(terminated, tf.float32))
        y = lambda_returns(reward, discount, tf.reshape(best, reward.shape), ended, q_lambda)  # [T, N]
        obs, action, y, playing = (flat(x) for x in (obs, action, y, tf.cast(playing, tf.float32)))  # [T * N, ...]
        total = 0.0
        for k in tf.range(len(minibatches)):
            # (4) Regress.
            rows = minibatches[k]
            mask = tf.gather(playing, rows)  # [B]
            with tf.GradientTape() as tape:
                q = tf.gather(model(tf.gather(obs, rows)), tf.gather(action, rows), axis=1, batch_dims=1)  # [B]
                target = tf.gather(y, rows)
                assert q.shape == target.shape == mask.shape
                loss = tf.reduce_sum(mask * tf.square(target - q)) / tf.maximum(tf.reduce_sum(mask), 1.0)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
        return total / len(minibatches)

    return update


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 50_000,
    num_envs: Size = 32,
    hidden_units: Size = 64,
    learning_rate: Positive = 1e-3,
    learning_rate_decay_steps: Count = 50_000,
    epsilon_final: Probability = 0.04,
    epsilon_decay_steps: Count = 8_000,
    rollout_length: Size = 32,
    epochs: Size = 8,
    batch_size: Size = 32,
    gamma: Probability = 0.99,
    q_lambda: Probability = 0.95,
    eval_interval: Natural = 10_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 10_000,
) -> Path:
    """Train a parallelised Q-network on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same rollout as the last one count, too.
        seed: random seed of the network, the environments, exploration and minibatches.
        logdir: folder of the run; runs/pqn_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together, rounded up to whole rollouts.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        epsilon_final: probability of a random action after the decay.
        epsilon_decay_steps: steps in which the probability of a random action falls linearly from 1 to epsilon_final.
        rollout_length: steps of each game between two rounds of updates.
        epochs: passes over the rollout in a round of updates.
        batch_size: transitions per update; it must divide the number of those in a rollout.
        gamma: discount factor per step.
        q_lambda: weight of the next return in a target; that of the next value is the rest of 1.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("pqn_cartpole", locals(), columns=("epsilon", "mean_loss"))
    rows = np.arange(rollout_length * num_envs)
    if len(rows) % batch_size:
        raise UsageError(f"--batch_size={batch_size} does not divide the {len(rows)} steps of a rollout")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    num_actions = int(action_space.n)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = obs_space.shape[0], num_actions, hidden_units
    model = build_q_network(*sizes)
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=10.0)
    update = make_update(model, optimizer, gamma, q_lambda)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    carry = run.begin(model=model, optimizer=optimizer, loss=np.nan, **games, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
            weights, rollout = model.get_weights(), []
            for _ in range(rollout_length):
                # (1) Act.
                epsilon = linear(carry.step, 1.0, epsilon_final, epsilon_decay_steps)
                explore = rng.random(num_envs) < epsilon
                greedy = act(weights, carry.obs)
                action = np.where(explore, rng.integers(num_actions, size=num_envs), greedy)
                next_obs, reward, terminated, truncated, _ = envs.step(action)
                playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
                carry.step += int(playing.sum())

                # (2) Collect.
                rollout.append((carry.obs, action, np.float32(reward), next_obs, terminated, carry.ended, playing))
                carry.obs = next_obs
                run.log_steps(carry.step, reward, playing, carry.ended, epsilon=epsilon, mean_loss=carry.loss)

            # Learn from the rollout.
            minibatches = np.concatenate([rng.permutation(rows) for _ in range(epochs)]).reshape(-1, batch_size)
            carry.loss = finite(update(*map(np.stack, zip(*rollout, strict=True)), minibatches), carry.step)

            # Report.
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
