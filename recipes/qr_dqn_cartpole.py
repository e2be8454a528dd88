r"""QR-DQN: learn the quantiles of what may come, wherever they lie.

C51 fixes the possible returns and learns their probabilities. QR-DQN fixes the probabilities and learns the returns.
Each of N outputs is a quantile, a return that is exceeded in a fixed share of all cases; their mean is q. No range has
to be guessed, and no projection is needed. A quantile is what an asymmetric loss finds: the output for the share tau
pays tau for being too low and 1 - tau for being too high.

    (1) act: the action with the highest q, with probability epsilon a random one
    (2) remember what `n_step` steps led to: s, a, the discounted sum r of their rewards, and s'
    (3) target: the quantiles r + gamma^n_step * theta_j under the best next action; r alone where the game terminated
    (4) regress each quantile onto all targets with Huber's loss, weighted by |tau - (target < prediction)|
    (5) every `target_interval` updates, copy the network into the target network

Source: Dabney, Rowland, Bellemare, Munos, Distributional Reinforcement Learning with Quantile Regression, AAAI 2018
(https://arxiv.org/abs/1710.10044).

`diff recipes/c51_cartpole.py recipes/qr_dqn_cartpole.py` shows the idea: head, target and loss. All other settings are
those of `recipes/dqn_cartpole.py`. The source has 200 quantiles, and 51 are here; what else differs from it is listed
in book/qr_dqn_cartpole.md.

    python recipes/qr_dqn_cartpole.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (489.8 to 500); 10 of 10 at 475 or more
    games                            258.5 (216 to 281)
    steps                            49,550 (48,152 to 49,985)
    training                         22.01 (20.63 to 23.72) s
    whole process                    27.73 (26.52 to 29.02) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.losses import huber
from common.networks import mlp
from common.replay import NSteps, ReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_q_network(obs_size, num_actions, hidden_units, num_quantiles):
    """Observations [B, D] → q of every action, [B, A], and its N quantiles, [B, A, N]."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu")
    quantiles = keras.layers.Reshape((num_actions, num_quantiles), name="quantiles")(
        keras.layers.Dense(num_actions * num_quantiles)(hidden)
    )
    mean = keras.layers.Dense(1, use_bias=False, trainable=False, name="mean")
    q = keras.layers.Reshape((num_actions,), name="q")(mean(quantiles))
    mean.set_weights([np.full((num_quantiles, 1), 1 / num_quantiles)])
    return keras.Model(obs, [q, quantiles], name="q_network")


def quantile_loss(theta, y):
    """Quantile regression with Huber's loss: predictions theta [B, N], targets y [B, M] → []."""
    n = theta.shape[1]
    tau = (tf.range(n, dtype=tf.float32) + 0.5) / n  # [N], the middles of N equal shares
    error = y[:, None, :] - theta[:, :, None]  # [B, N, M]
    weight = tf.abs(tau[:, None] - tf.cast(error < 0, tf.float32))  # [B, N, M]
    return tf.reduce_mean(tf.reduce_sum(tf.reduce_mean(weight * huber(error), axis=2), axis=1))


def act(weights, obs):
    """obs [N, D] → the action with the highest q, [N].

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, kernel, bias, mean = weights  # mean [quantiles, 1], equal shares
    for k, b in zip(hidden[::2], hidden[1::2], strict=True):
        obs = np.maximum(obs @ k + b, 0)
    head = (obs @ kernel + bias).reshape(len(obs), -1, len(mean))  # [N, A, quantiles]
    return np.argmax((head @ mean)[:, :, 0], axis=-1)


def make_update(model, target_model, optimizer, discount):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            next_q, next_theta = target_model(next_obs[k])  # [B, A], [B, A, N]
            best = tf.gather(next_theta, tf.argmax(next_q, axis=-1), axis=1, batch_dims=1)  # [B, N]
            y = reward[k][:, None] + (discount * (1 - terminated[k]))[:, None] * best  # [B, N]
            # (4) Regress.
            with tf.GradientTape() as tape:
                theta = tf.gather(model(obs[k])[1], action[k], axis=1, batch_dims=1)  # [B, A, N] → [B, N]
                assert theta.shape == y.shape
                loss = quantile_loss(theta, y)
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
    quantiles: Size = 51,
    target_interval: Count = 32,
    eval_interval: Natural = 10_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 10_000,
) -> Path:
    """Train a Deep Q-Network with quantiles on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/qr_dqn_cartpole/<date-time> if empty.
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
        quantiles: number of quantiles per action.
        target_interval: updates between two copies into the target network, which wait for the end of a round.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("qr_dqn_cartpole", locals(), columns=("epsilon", "mean_loss"))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    num_actions = int(action_space.n)
    memory = ReplayBuffer(buffer_size, obs_space, action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = obs_space.shape[0], num_actions, hidden_units, quantiles
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
