r"""Advantage actor-critic (A2C): an update after a few steps of many games, long before these games have ended.

The critic's prediction stands for the rest of a game, so an actor-critic need not wait for its end. Every few steps the
actor and the critic learn from all games at once, and the games go on.

    (1) play: `rollout_length` steps of `num_envs` games, each action sampled from the actor's probabilities
    (2) advantage, by generalised advantage estimation: A_t = delta_t + gamma * lambda * A_(t+1), where
        delta_t = r_t + gamma * v(s_(t+1)) - v(s_t); v(s_(t+1)) is 0 where the game terminated, and the sum ends where
        the game ended
    (3) losses: the actor's is -log pi(a_t) * A_t, the critic's (v(s_t) + A_t - v(s_t))² / 2, where A_t and A_t + v(s_t)
        are constants; `entropy_weight` times the entropy of pi is a bonus
    (4) update: one step of the optimizer, the gradient's norm at most `max_gradient_norm`

Source: Mnih et al., Asynchronous Methods for Deep Reinforcement Learning, ICML 2016 (https://arxiv.org/abs/1602.01783);
the advantage is that of Schulman et al., ICLR 2016 (https://arxiv.org/abs/1506.02438).

Differs from the source in (book/a2c_cartpole.md):

                here                               source
    games       wait for one another (A2C)         in threads, each with a gradient of its own (A3C)
    advantage   lambda 0.95                        lambda 1
    rollout     32 steps                           5 steps
    network     one for the actor, one for the     shared but for the last layer
                critic, two layers of 64 units
    critic      its last layer begins at 0,        begins at random, no scale, no weight
                times 100; weight of its loss 1e-4
    entropy     no bonus                           weight 0.01
    optimizer   Adam, 1e-3, linearly to 0;         RMSProp, its statistics shared by the threads,
                gradient norm at most 0.5          linearly to 0

    python recipes/a2c_cartpole.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500; 10 of 10 at 475 or more
    games                            1,852 (1,689 to 2,529)
    steps                            499,633 (499,171 to 500,149)
    training                         17.18 (16.22 to 18.18) s
    whole process                    22.66 (21.64 to 23.89) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, NonNegative, Positive, Probability, Seed, Size, strict, validated
from common.lazy import keras, tf
from common.run import Run, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_actor_critic(obs_size, num_actions, hidden_units, value_scale):
    """Two networks side by side: obs [B, D] → logits [B, A], value [B, 1]."""
    obs = keras.Input((obs_size,))
    actor = critic = obs
    for layer in (1, 2):
        actor = keras.layers.Dense(hidden_units, activation="tanh", name=f"actor_{layer}")(actor)
        critic = keras.layers.Dense(hidden_units, activation="tanh", name=f"critic_{layer}")(critic)
    logits = keras.layers.Dense(num_actions, name="logits")(actor)
    value = keras.layers.Dense(1, kernel_initializer="zeros")(critic)
    value = keras.layers.Rescaling(value_scale, name="value")(value)
    return keras.Model(obs, [logits, value], name="actor_critic")


def actor_of(model):
    """Kernel and bias of each of the actor's layers, as NumPy arrays."""
    layers = (model.get_layer(name) for name in ("actor_1", "actor_2", "logits"))
    return [(layer.kernel.numpy(), layer.bias.numpy()) for layer in layers]


def act(actor, obs, rng):
    """obs [N, D] → actions [N], drawn from the actor's probabilities.

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, (kernel, bias) = actor
    for weights, biases in hidden:
        obs = np.tanh(obs @ weights + biases)
    logits = obs @ kernel + bias  # [N, A]
    return np.argmax(logits + rng.gumbel(size=logits.shape), axis=-1)  # a draw from softmax(logits)


def advantages(reward, terminated, ended, value, gamma, gae_lambda):
    """Generalised advantage estimation: reward, terminated, ended [T, N], value [T + 1, N] → [T, N].

    Where a game ends at step t, row t + 1 holds its true last observation, so that a truncated game is worth the value
    of that; row t + 2 is of another game, so that the sum ends.
    """
    assert reward.shape == terminated.shape == ended.shape == value[1:].shape
    delta = reward + gamma * tf.where(terminated, 0.0, value[1:]) - value[:-1]

    def backwards(later, step):
        delta, ended = step  # [N]
        return delta + gamma * gae_lambda * tf.where(ended, 0.0, later)

    return tf.scan(backwards, (delta, ended), tf.zeros_like(delta[0]), reverse=True)


def flat(x):
    """The steps of all games one after the other: [T, N, ...] → [T * N, ...]."""
    return tf.reshape(x, (-1, *x.shape[2:]))


def compute_losses(logits, value, action, advantage, returns):
    """logits [B, A], value, action, advantage, returns [B] → actor's loss, critic's, entropy of each step."""
    log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(action, logits)  # [B]
    entropy = -tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=-1)  # [B]
    assert log_prob.shape == value.shape == advantage.shape == returns.shape == entropy.shape
    return -log_prob * advantage, tf.square(returns - value) / 2, entropy


def make_update(model, optimizer, gamma, gae_lambda, value_weight, entropy_weight):
    """Compiled: a rollout, obs [T + 1, N, D] and the others [T, N] → loss, mean entropy, both []."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, terminated, ended, playing):
        weight = tf.cast(flat(playing), tf.float32)  # [T * N], 0 where a game only reset
        mean = lambda x: tf.reduce_sum(weight * x) / tf.maximum(tf.reduce_sum(weight), 1.0)  # noqa: E731
        with tf.GradientTape() as tape:
            logits, value = model(flat(obs))  # [(T + 1) * N, A], [(T + 1) * N, 1]
            # (2) Advantage.
            value = tf.reshape(value, obs.shape[:2])  # [T + 1, N]
            constant = tf.stop_gradient(value)
            advantage = advantages(reward, terminated, ended, constant, gamma, gae_lambda)  # [T, N]
            returns = flat(advantage + constant[:-1])
            # (3) Losses.
            parts = compute_losses(logits[: len(weight)], flat(value[:-1]), flat(action), flat(advantage), returns)
            actor_loss, critic_loss, entropy = map(mean, parts)
            loss = actor_loss + value_weight * critic_loss - entropy_weight * entropy
        # (4) Update.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss, entropy

    return update


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 100_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 500_000,
    num_envs: Size = 8,
    hidden_units: Size = 64,
    value_scale: Positive = 100.0,
    learning_rate: Positive = 1e-3,
    learning_rate_decay_steps: Count = 500_000,
    max_gradient_norm: Positive = 0.5,
    rollout_length: Size = 32,
    gamma: Probability = 0.99,
    gae_lambda: Probability = 0.95,
    value_weight: NonNegative = 1e-4,
    entropy_weight: NonNegative = 0.0,
    eval_interval: Natural = 100_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 100_000,
) -> Path:
    """Train an advantage actor-critic on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same rollout as the last one count, too.
        seed: random seed of the networks, the environments and the actions.
        logdir: folder of the run; runs/a2c_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together, rounded up to whole rollouts.
        num_envs: games played side by side.
        hidden_units: width of the two hidden layers of each network.
        value_scale: factor of the critic's last layer; as large as values become, 1 / (1 - gamma) for rewards of 1.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        max_gradient_norm: a longer gradient, of all weights together, is shortened to this length.
        rollout_length: steps of each game between two updates.
        gamma: discount factor per step.
        gae_lambda: weight of later steps in the advantage; 0 is one step, 1 all steps of the rollout.
        value_weight: weight of the critic's loss, which grows with the square of value_scale.
        entropy_weight: weight of the entropy bonus.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("a2c_cartpole", locals(), columns=("loss", "entropy"))
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    obs_space, num_actions = envs.single_observation_space, int(envs.single_action_space.n)
    model = build_actor_critic(obs_space.shape[0], num_actions, hidden_units, value_scale)
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=max_gradient_norm)
    update = make_update(model, optimizer, gamma, gae_lambda, value_weight, entropy_weight)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    losses = {"loss": np.nan, "entropy": np.nan}
    carry = run.begin(model=model, optimizer=optimizer, **games, **losses, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
            # (1) Play.
            actor, rollout = actor_of(model), []
            for _ in range(rollout_length):
                action = act(actor, carry.obs, rng)
                next_obs, reward, terminated, truncated, _ = envs.step(action)
                playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
                carry.step += int(playing.sum())
                rollout.append((carry.obs, action, np.float32(reward), terminated, carry.ended, playing))
                carry.obs = next_obs
                run.log_steps(carry.step, reward, playing, carry.ended, loss=carry.loss, entropy=carry.entropy)

            # Learn.
            obs, *others = map(np.stack, zip(*rollout, strict=True))
            results = update(np.concatenate([obs, carry.obs[None]]), *others)
            carry.loss, carry.entropy = (finite(x, carry.step) for x in results)

            # Report.
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
