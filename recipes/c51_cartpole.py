r"""C51: learn the distribution of what may come, not only its mean.

A Q-network predicts one number, the expected return. C51 predicts a probability for each of 51 possible returns, the
atoms z from `v_min` to `v_max`; their mean is q. The distribution after a step is that of the next state, shrunk by
gamma and shifted by the reward. Its atoms then lie between those of the network, so each hands its probability to its
two neighbours, the more to the nearer one. The network learns from this projection as a classifier does.

    (1) act: the action with the highest q, with probability epsilon a random one
    (2) remember what `n_step` steps led to: s, a, the discounted sum r of their rewards, and s'
    (3) target: the distribution of r + gamma^n_step * z under the best next action, projected onto z; r alone where the
        game terminated
    (4) minimise the cross-entropy between target and prediction
    (5) every `target_interval` updates, copy the network into the target network

Source: Bellemare, Dabney, Munos, A Distributional Perspective on Reinforcement Learning, ICML 2017
(https://arxiv.org/abs/1707.06887).

`diff recipes/dqn_cartpole.py recipes/c51_cartpole.py` shows the idea: head, target and loss. All other settings are
those of `recipes/dqn_cartpole.py`. How they differ from the source's is listed in book/c51_cartpole.md.

    python recipes/c51_cartpole.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500; 10 of 10 at 475 or more
    games                            198 (192 to 226)
    steps                            49,582 (47,586 to 49,928)
    training                         21 (19.52 to 22) s
    whole process                    27.2 (25.33 to 29.85) s
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
from common.replay import NSteps, ReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_q_network(obs_size, num_actions, hidden_units, z):
    """Observations [B, D] → q of every action, [B, A], and logits of its atoms z [Z], [B, A, Z]."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu")
    logits = keras.layers.Reshape((num_actions, len(z)), name="logits")(
        keras.layers.Dense(num_actions * len(z))(hidden)
    )
    mean = keras.layers.Dense(1, use_bias=False, trainable=False, name="mean")  # its weights are the atoms
    q = keras.layers.Reshape((num_actions,), name="q")(mean(keras.layers.Softmax()(logits)))
    mean.set_weights([z[:, None]])
    return keras.Model(obs, [q, logits], name="q_network")


def project(p, z, reward, discount):
    """Categorical projection: p [B, Z] over the atoms z [Z], reward [B], discount [B] (0 where terminated) → [B, Z]."""
    shifted = tf.clip_by_value(reward[:, None] + discount[:, None] * z, z[0], z[-1])  # [B, Z]
    distance = tf.abs(shifted[:, None, :] - z[:, None]) / (z[1] - z[0])  # [B, Z, Z], from atom i to shifted atom j
    return tf.reduce_sum(tf.maximum(1 - distance, 0) * p[:, None, :], axis=-1)


def act(weights, obs):
    """obs [N, D] → the action with the highest q, [N].

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, kernel, bias, mean = weights  # mean [Z, 1], the atoms
    for k, b in zip(hidden[::2], hidden[1::2], strict=True):
        obs = np.maximum(obs @ k + b, 0)
    head = (obs @ kernel + bias).reshape(len(obs), -1, len(mean))  # [N, A, Z]
    p = np.exp(head - head.max(axis=-1, keepdims=True))
    head = p / p.sum(axis=-1, keepdims=True)  # the probabilities of the atoms
    return np.argmax((head @ mean)[:, :, 0], axis=-1)


def make_update(model, target_model, optimizer, discount, z):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            next_q, next_logits = target_model(next_obs[k])  # [B, A], [B, A, Z]
            p = tf.nn.softmax(tf.gather(next_logits, tf.argmax(next_q, axis=-1), axis=1, batch_dims=1))  # [B, Z]
            y = project(p, z, reward[k], discount * (1 - terminated[k]))  # [B, Z]
            # (4) Classify.
            with tf.GradientTape() as tape:
                logits = tf.gather(model(obs[k])[1], action[k], axis=1, batch_dims=1)  # [B, A, Z] → [B, Z]
                assert logits.shape == y.shape
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, logits))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
        return total / len(obs)

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
    gamma: Probability = 0.99,
    n_step: Size = 3,
    atoms: Size = 51,
    v_min: float = 0.0,
    v_max: float = 100.0,
    target_interval: Count = 32,
    eval_interval: Natural = 10_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 10_000,
) -> Path:
    """Train a categorical Deep Q-Network on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/c51_cartpole/<date-time> if empty.
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
        gamma: discount factor per step.
        n_step: rewards summed in a target before the bootstrap; fewer than a truncated game has steps.
        atoms: number of returns that the network tells apart.
        v_min: lowest of them; lower returns count as this one.
        v_max: highest of them; higher returns count as this one.
        target_interval: updates between two copies into the target network, which wait for the end of a round.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("c51_cartpole", locals(), columns=("epsilon", "mean_loss"))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    num_actions = int(action_space.n)
    if v_min >= v_max or atoms < 2:
        raise UsageError(f"--v_min={v_min} must be below --v_max={v_max}, with at least 2 --atoms")
    z = np.linspace(v_min, v_max, atoms, dtype=np.float32)
    memory = ReplayBuffer(buffer_size, obs_space, action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = obs_space.shape[0], num_actions, hidden_units, z
    model, target_model = (build_q_network(*sizes) for _ in range(2))
    target_model.set_weights(model.get_weights())
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=10.0)
    update = make_update(model, target_model, optimizer, gamma**n_step, z)
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
                carry.loss = finite(update(*memory.sample((minibatches, batch_size), rng)), carry.step)
                weights = model.get_weights()
                # (5) Copy.
                carry.updates += minibatches
                if due(carry.updates, target_interval, minibatches):
                    target_model.set_weights(weights)

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, epsilon=epsilon, mean_loss=carry.loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
