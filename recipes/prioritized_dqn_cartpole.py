r"""Prioritized DQN: remember most often what surprised most.

A replay memory draws every step equally often, although most steps teach nothing new. Here a step is drawn in
proportion to a power of the error that it had when it was last used. Steps with large errors are then drawn too often,
which would bias what the network learns, so a step that is drawn more often counts less.

    (1) act: the action with the highest q, with probability epsilon a random one
    (2) remember what `n_step` steps led to: s, a, the discounted sum r of their rewards, and s', with the largest
        priority so far
    (3) target: y = r + gamma^n_step * max_a q_target(s', a), and y = r where the game terminated
    (4) regress q(s, a) onto y with the squared error; a step drawn with probability P weighs (N P)^-beta, divided by
        the largest weight of its batch
    (5) every `target_interval` updates, copy the network into the target network
    (6) the new priority of a step is (|y - q| + 1e-6)^alpha

Source: Schaul, Quan, Antonoglou, Silver, Prioritized Experience Replay, ICLR 2016 (https://arxiv.org/abs/1511.05952).

`diff recipes/dqn_cartpole.py recipes/prioritized_dqn_cartpole.py` shows the idea: the memory, the weights and the
priorities. All other settings are those of `recipes/dqn_cartpole.py`. The source has the target of Double DQN, and a
quarter of DQN's learning rate. Here priorities change after a round of updates, not after each of its minibatches. What
else differs from the source is listed in book/prioritized_dqn_cartpole.md.

    python recipes/prioritized_dqn_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (362.87 to 500); 28 of 30 at 475 or more
    games                            220 (186 to 291)
    steps                            49,662 (48,094 to 50,006)
    training                         13.23 (12.14 to 14.84) s
    whole process                    18.64 (17.45 to 21.04) s
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
from common.replay import NSteps, PrioritizedReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_q_network(obs_size, num_actions, hidden_units):
    """Observations [B, D] → q of every action, [B, A]."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu")
    q = keras.layers.Dense(num_actions, name="q")(hidden)
    return keras.Model(obs, q, name="q_network")


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, A] → reward plus the discounted best of next_q, [B]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == best.shape
    return reward + discount * best


def act(weights, obs):
    """obs [N, D] → the action with the highest q, [N].

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, kernel, bias = weights
    for k, b in zip(hidden[::2], hidden[1::2], strict=True):
        obs = np.maximum(obs @ k + b, 0)
    return np.argmax(obs @ kernel + bias, axis=-1)


def make_update(model, target_model, optimizer, discount):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss, errors [K, B]."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated, weight):
        total, errors = 0.0, tf.zeros_like(reward)
        for k in tf.range(len(obs)):
            # (3) Target.
            y = td_target(reward[k], discount * (1 - terminated[k]), target_model(next_obs[k]))  # [B]
            # (4) Regress.
            with tf.GradientTape() as tape:
                q = tf.gather(model(obs[k]), action[k], axis=1, batch_dims=1)  # [B, A] → [B]
                assert q.shape == y.shape
                loss = tf.reduce_mean(weight[k] * tf.square(y - q))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
            errors = tf.tensor_scatter_nd_update(errors, [[k]], [tf.abs(y - q)])
        return total / len(obs), errors

    return update


def importance_weights(probability, beta):
    """(N P)^-beta divided by the largest of each batch, which makes N cancel; [..., B] → [..., B] float32."""
    return ((probability / probability.min(axis=-1, keepdims=True)) ** -beta).astype(np.float32)


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
    num_envs: Size = 8,
    hidden_units: Size = 128,
    learning_rate: Positive = 2.3e-3,
    learning_rate_decay_steps: Count = 50_000,
    buffer_size: Count = 20_000,
    learning_starts: Natural = 1_000,
    epsilon_final: Probability = 0.04,
    epsilon_decay_steps: Count = 8_000,
    train_interval: Count = 64,
    minibatches: Size = 32,
    batch_size: Size = 64,
    alpha: Probability = 0.6,
    beta_start: Probability = 0.4,
    beta_steps: Count = 50_000,
    gamma: Probability = 0.99,
    n_step: Size = 3,
    target_interval: Count = 32,
    eval_interval: Natural = 10_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 10_000,
) -> Path:
    """Train a Deep Q-Network with prioritized replay on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/prioritized_dqn_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: steps before the first update.
        epsilon_final: probability of a random action after the decay.
        epsilon_decay_steps: steps in which the probability of a random action falls linearly from 1 to epsilon_final.
        train_interval: steps between two rounds of updates.
        minibatches: updates in a round, compiled into one call.
        batch_size: transitions per update.
        alpha: exponent of the priorities; 0 draws all steps equally often.
        beta_start: exponent of the weights at first; 1 corrects all of the bias.
        beta_steps: steps in which this exponent rises linearly to 1.
        gamma: discount factor per step.
        n_step: rewards summed in a target before the bootstrap; fewer than a truncated game has steps.
        target_interval: updates between two copies into the target network, which wait for the end of a round.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("prioritized_dqn_cartpole", locals(), columns=("epsilon", "mean_loss"))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    num_actions = int(action_space.n)
    memory = PrioritizedReplayBuffer(buffer_size, obs_space, action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = obs_space.shape[0], num_actions, hidden_units
    model, target_model = (build_q_network(*sizes) for _ in range(2))
    target_model.set_weights(model.get_weights())
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=10.0)
    update = make_update(model, target_model, optimizer, gamma**n_step)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    learner = {"model": model, "target_model": target_model, "optimizer": optimizer, "updates": 0, "loss": np.nan}
    carry = run.begin(**learner, **games, window=NSteps(n_step, gamma, num_envs), memory=memory, rng=rng, step=0)

    weights = model.get_weights()
    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            # (1) Act.
            epsilon = linear(carry.step, 1.0, epsilon_final, epsilon_decay_steps)
            explore = rng.random(num_envs) < epsilon
            greedy = act(weights, carry.obs)
            action = np.where(explore, rng.integers(num_actions, size=num_envs), greedy)
            next_obs, reward, terminated, truncated, _ = envs.step(action)
            playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # (2) Remember.
            memory.add(*carry.window.join(carry.obs, action, reward, next_obs, terminated, playing))
            carry.obs = next_obs

            # Learn from what is remembered.
            for _ in range(due(carry.step, train_interval, playing.sum()) if memory.is_ready(learning_starts) else 0):
                optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
                batch, rows, probability = memory.sample((minibatches, batch_size), rng)
                beta = linear(carry.step, beta_start, 1.0, beta_steps)
                loss, errors = update(*batch, importance_weights(probability, beta))
                carry.loss = finite(loss, carry.step)
                weights = model.get_weights()
                # (5) Copy.
                carry.updates += minibatches
                if due(carry.updates, target_interval, minibatches):
                    target_model.set_weights(weights)
                # (6) New priorities.
                memory.set_priorities(rows, (errors.numpy() + 1e-6) ** alpha)

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, epsilon=epsilon, mean_loss=carry.loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
