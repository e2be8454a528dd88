r"""Advantage actor-critic on a world that is written in TensorFlow: rollout and update are one XLA program.

Where the world is a function of tensors, nothing needs to leave the graph. One call plays `rollout_length` steps of
`num_envs` games and updates the networks. Python only counts: it sees the rewards and which games have ended.

    (1) play: `rollout_length` steps of `num_envs` games in the graph, each action sampled from the probabilities
    (2) advantage A, by generalised advantage estimation, from the value of the true last observation of each step; the
        target y = A + v; then A with mean 0, deviation 1 over the rollout
    (3) the actor's loss is -A * log pi(a), the critic's (y - v)² / 2 with y as a constant; `entropy_weight` times the
        entropy of pi is a bonus
    (4) update: one step of Adam, the gradient's norm at most `max_gradient_norm`

The algorithm is that of a2c_cartpole.py with rollouts of more games, standardised advantages, orthogonal initial
weights, a higher learning rate, Adam's epsilon 1e-5 in place of 1e-7, and 0.5 in place of 1e-4 as the weight of the
critic's loss. The world is that of envs/tensor/, which is tested step by step against gymnasium's; the network is
evaluated in gymnasium's.

Source: Mnih et al., Asynchronous Methods for Deep Reinforcement Learning (https://arxiv.org/abs/1602.01783); the whole
loop on the device as in Hessel et al., Podracer architectures (https://arxiv.org/abs/2104.06272).

    python recipes/compiled_actor_critic_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (496.89 to 500); 30 of 30 at 475 or more
    games                            4,426 (4,258 to 4,787)
    steps                            500,480 (499,744 to 500,736)
    training                         2.087 (1.904 to 2.435) s
    whole process                    10.79 (10.21 to 12.19) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fire
import numpy as np

from common.cli import Count, Natural, NonNegative, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.graph import compile_first
from common.lazy import keras, tf
from common.run import Run, finite
from envs.checked import make_vec
from envs.tensor import find


class Step(NamedTuple):
    """One step of N games, or with a first axis T of a rollout."""

    after: NamedTuple  # state of the world after it
    obs: tf.Tensor  # [N, D]
    action: tf.Tensor  # [N]
    reward: tf.Tensor  # [N]
    last_obs: tf.Tensor  # [N, D], what followed, even where a game ended with it and `after` is another game
    terminated: tf.Tensor  # [N] bool
    ended: tf.Tensor  # [N] bool


def build_actor_critic(obs_size, num_actions, hidden_units, value_scale):
    """Two networks side by side: obs [B, D] → logits [B, A], value [B, 1]."""

    def dense(units, gain, activation=None, name=None):
        initial = keras.initializers.Orthogonal(gain)
        return keras.layers.Dense(units, activation, kernel_initializer=initial, name=name)

    obs = keras.Input((obs_size,))
    actor = critic = obs
    for layer in (1, 2):
        actor = dense(hidden_units, 2**0.5, "tanh", f"actor_{layer}")(actor)
        critic = dense(hidden_units, 2**0.5, "tanh", f"critic_{layer}")(critic)
    logits = dense(num_actions, 0.01, name="logits")(actor)
    value = keras.layers.Rescaling(value_scale, name="value")(dense(1, 0.01)(critic))
    return keras.Model(obs, [logits, value], name="actor_critic")


def play(model, world, state, seed, rollout_length):
    """Play T steps of N games from `state` → Step of [T, N, ...]; `seed` is an integer."""

    def step(state, t):
        obs = world.observe(state)
        logits, _ = model(obs)  # [N, A]
        uniform = tf.random.stateless_uniform(logits.shape, tf.stack([seed, 2 * t]), 1e-7, 1.0)
        action = tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), axis=-1, output_type=tf.int32)  # Gumbel
        after, last_obs, reward, terminated, truncated = world.step(state, action, tf.stack([seed, 2 * t + 1]))
        return Step(after, obs, action, reward, last_obs, terminated, terminated | truncated)

    shapes = step(state, 0)._replace(after=state)  # what the scan begins with; only the state is ever read
    return tf.scan(lambda before, t: step(before.after, t), tf.range(rollout_length), shapes)


def advantages(reward, terminated, ended, value, next_value, gamma, gae_lambda):
    """Generalised advantage estimation, all [T, N]; `next_value` is that of what followed each step in its own game."""
    assert reward.shape == terminated.shape == ended.shape == value.shape == next_value.shape
    delta = reward + gamma * tf.where(terminated, 0.0, next_value) - value

    def backwards(later, step):
        delta, ended = step  # [N]
        return delta + gamma * gae_lambda * tf.where(ended, 0.0, later)

    return tf.scan(backwards, (delta, ended), tf.zeros_like(delta[0]), reverse=True)


def flat(x):
    """The steps of all games one after the other: [T, N, ...] → [T * N, ...]."""
    return tf.reshape(x, (-1, *x.shape[2:]))


def standardize(x):
    """Mean 0, deviation 1: [B] → [B]."""
    return (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + 1e-8)


def log_probs(logits, action):
    """Of the actions taken: logits [B, A], action [B] → [B]."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(action, logits)


def entropies(logits):
    """Of the probabilities: logits [B, A] → [B]."""
    return -tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=-1)


def make_train_step(model, optimizer, world, rollout_length, gamma, gae_lambda, value_weight, entropy_weight):
    """Compiled: state of N games, seed [] → state after a rollout, reward, ended [T, N], loss, entropy []."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def train_step(state, seed):
        # (1) Play.
        steps = play(model, world, state, seed, rollout_length)
        # (2) Advantage.
        value, next_value = (tf.reshape(model(flat(x))[1], x.shape[:2]) for x in (steps.obs, steps.last_obs))  # [T, N]
        advantage = flat(advantages(
            steps.reward, steps.terminated, steps.ended, value, next_value, gamma, gae_lambda
        ))  # [T * N]  # fmt: skip
        obs, action, target = flat(steps.obs), flat(steps.action), advantage + flat(value)
        advantage = standardize(advantage)
        with tf.GradientTape() as tape:
            # (3) Losses.
            logits, value = model(obs)  # [T * N, A], [T * N, 1]
            log_prob, value, entropy = log_probs(logits, action), value[:, 0], tf.reduce_mean(entropies(logits))
            assert log_prob.shape == advantage.shape == value.shape == target.shape
            loss = tf.reduce_mean(-advantage * log_prob) + value_weight * tf.reduce_mean(tf.square(target - value)) / 2
            loss -= entropy_weight * entropy
        # (4) Update.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        after = tf.nest.map_structure(lambda x: x[-1], steps.after)
        return after, steps.reward, steps.ended, loss, entropy

    return train_step


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 1_000_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 500_000,
    num_envs: Size = 32,
    hidden_units: Size = 64,
    value_scale: Positive = 100.0,
    learning_rate: Positive = 2e-3,
    learning_rate_decay_steps: Count = 500_000,
    max_gradient_norm: Positive = 0.5,
    rollout_length: Size = 32,
    gamma: Probability = 0.99,
    gae_lambda: Probability = 0.95,
    value_weight: NonNegative = 0.5,
    entropy_weight: NonNegative = 0.0,
    eval_interval: Natural = 0,
    eval_episodes: Natural = 100,
    save_interval: Count = 200_000,
) -> Path:
    """Train an actor-critic with the whole loop compiled, and save it as a Keras model.

    Args:
        env_id: a world of envs/tensor/ with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same rollout as the last one count, too.
        seed: random seed of the networks, the world and the actions.
        logdir: folder of the run; runs/compiled_actor_critic_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON; the worlds of envs/tensor/ have none.
        steps: environment steps, over all games together, rounded up to whole rollouts.
        num_envs: games played side by side.
        hidden_units: width of the two hidden layers of each network.
        value_scale: factor of the critic's last layer; as large as values become, 1 / (1 - gamma) for rewards of 1.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        max_gradient_norm: a longer gradient, of all weights together, is shortened to this length.
        rollout_length: steps of each game per update.
        gamma: discount factor per step.
        gae_lambda: weight of later steps in the advantage; 0 is one step, 1 all steps of the rollout.
        value_weight: weight of the critic's loss.
        entropy_weight: weight of the entropy bonus.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation, in gymnasium's world; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("compiled_actor_critic_cartpole", locals(), columns=("loss", "entropy"))
    if run.env_kwargs:
        raise UsageError(f"--env_kwargs={run.env_kwargs}: the worlds of envs/tensor/ have no arguments")
    if rollout_length * num_envs == 1:
        raise UsageError("--rollout_length=1 --num_envs=1: the advantage of one step, standardised, is 0")
    make_envs = partial(make_vec, env_id, kind="vectors")
    envs = make_envs(1)
    keras.utils.set_random_seed(seed)
    rng, world = np.random.default_rng(seed), find(env_id)
    sizes = envs.single_observation_space.shape[0], int(envs.single_action_space.n), hidden_units
    model = build_actor_critic(*sizes, value_scale)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-5, global_clipnorm=max_gradient_norm)
    train_step = make_train_step(
        model, optimizer, world, rollout_length, gamma, gae_lambda, value_weight, entropy_weight
    )
    state = world.reset(rng.integers(2**31, size=2), num_envs)
    compile_first(train_step, [*model.variables, *optimizer.variables], state, tf.constant(0))
    games = {"now": state.now.numpy(), "time": state.time.numpy()}
    carry = run.begin(model=model, optimizer=optimizer, **games, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            # Play and learn.
            optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
            state = type(state)(carry.now, carry.time)
            state, reward, ended, loss, entropy = train_step(state, tf.constant(rng.integers(2**31), tf.int32))
            carry.now, carry.time = (x.numpy() for x in state)
            loss = finite(loss, carry.step)

            # Report.
            own = {"loss": loss, "entropy": float(entropy)}
            carry.step = run.log_rollout(carry.step, reward.numpy(), ended.numpy(), **own)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
