r"""PPO for actions that are vectors: a normal distribution, and scales that the model keeps.

The actor gives the mean of a normal distribution for each number of the action; its deviation is a weight that does not
depend on the observation. Observations are standardised by their running mean and deviation, and the critic learns in
units of the deviation of the returns. Both scales are weights of the model, so that a saved model takes a raw
observation, and gives an action and a value in the world's own units.

    (1) play: `rollout_length` steps of `num_envs` games; u is drawn from the normal distribution, in which ±1 are the
        world's bounds, and only the world gets it clipped
    (2) advantage A, by generalised advantage estimation, and old probability densities, once for the whole rollout
    (3) advantages of each minibatch: mean 0, deviation 1
    (4) ratio = pi(u) / pi_old(u), where log pi(u) is the sum over the numbers of u; the actor's loss is
        -min(ratio * A, clip(ratio, 1 - epsilon, 1 + epsilon) * A)
    (5) the critic's loss is (A + v_old - v)² / 2 in units of the squared deviation of the returns; `entropy_weight`
        times the entropy of pi is a bonus
    (6) update: one step of Adam, the gradient's norm at most `max_gradient_norm`; `epochs` passes over the rollout
    (7) scales: merge the rollout into the mean and the deviation of all observations and returns, for the next rollout

Source: Schulman et al., Proximal Policy Optimization Algorithms (https://arxiv.org/abs/1707.06347).

Differs from the source in (book/ppo_pendulum.md):

                here                                   source
    scales      of observations and returns, running   not told; the same in its authors' code
    deviation   at first half the range of actions     not told
    minibatch   64 of 2,048 steps of 16 games          64 of 2,048 steps of one game
    Adam        1e-3, linearly to 0                    3e-4
    gamma       0.97                                   0.99
    lambda      0.9                                    0.95

    python recipes/ppo_pendulum.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  -157.8935 (-197.46 to -128.803); 18 of 30 at -165 or more
    games                            496
    steps                            99,200
    training                         10.27 (9.073 to 12.75) s
    whole process                    16.11 (14.49 to 20.22) s

    --gae_lambda=0.95
    mean return of 100 greedy games  -158.1215 (-516.862 to -137.752); 20 of 30 at -165 or more
    games                            496
    steps                            99,200
    training                         9.89 (8.878 to 11.37) s
    whole process                    15.73 (14.25 to 17.72) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, NonNegative, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.run import Run, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_actor_critic(obs_size, action_space, hidden_units, log_deviation):
    """Two networks side by side: obs [B, D] → greedy action, mean, log deviation [B, A], value [B, 1].

    The action is the world's; mean and deviation are in units in which the world's bounds are ±1.
    """
    low, high = action_space.low.astype(float), action_space.high.astype(float)

    def dense(units, gain, activation=None, name=None):
        return keras.layers.Dense(units, activation, kernel_initializer=keras.initializers.Orthogonal(gain), name=name)

    obs = keras.Input((obs_size,))
    standard = keras.layers.BatchNormalization(center=False, scale=False, epsilon=1e-8, name="obs_scale")
    x = keras.layers.Rescaling(0.1)(standard(obs, training=False))
    actor = critic = keras.layers.Rescaling(10.0)(keras.layers.Activation("hard_tanh")(x))  # at most 10 deviations
    for layer in (1, 2):
        actor = dense(hidden_units, 2**0.5, "tanh", f"actor_{layer}")(actor)
        critic = dense(hidden_units, 2**0.5, "tanh", f"critic_{layer}")(critic)
    mean = dense(len(low), 0.01, name="mean")(actor)
    # The biases of a layer that sees only zeros: weights that do not depend on the observation.
    bias = keras.initializers.Constant(log_deviation)
    deviation = keras.layers.Dense(len(low), bias_initializer=bias, name="log_deviation")(
        keras.layers.Rescaling(0.0)(obs)
    )
    half, middle = ((high - low) / 2).tolist(), ((high + low) / 2).tolist()
    action = keras.layers.Rescaling(half, middle, name="action")(keras.layers.Activation("hard_tanh")(mean))
    scale = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False, name="return_scale")
    value = scale(dense(1, 1.0, name="value")(critic))
    return keras.Model(obs, [action, mean, deviation, value], name="actor_critic")


class Moments:
    """Running mean and variance of rows of numbers, [D] each (Chan et al. 1979), for `Run.begin`."""

    def __init__(self, size):
        self.count, self.mean, self.variance = 0, np.zeros(size), np.ones(size)

    def add(self, rows):
        """Merge rows, [B, D], or none."""
        if not len(rows):
            return
        share, shift = len(rows) / (self.count + len(rows)), rows.mean(0) - self.mean
        self.count += len(rows)
        self.mean = self.mean + share * shift
        self.variance = (1 - share) * self.variance + share * rows.var(0) + share * (1 - share) * shift**2

    def state(self):
        """What `load` needs, as a dict."""
        return {"count": self.count, "mean": self.mean, "variance": self.variance}

    def load(self, state):
        """Take over a `state`."""
        self.count, self.mean, self.variance = state["count"], state["mean"], state["variance"]


def actor_of(model):
    """What the actor needs, as NumPy arrays: scales of the observations, layers, log deviation of the actions."""
    mean, variance = model.get_layer("obs_scale").get_weights()
    layers = [model.get_layer(name).get_weights() for name in ("actor_1", "actor_2", "mean")]
    return mean, np.sqrt(variance + 1e-8), layers, model.get_layer("log_deviation").bias.numpy()


def act(actor, obs, rng):
    """obs [N, D] → actions [N, A], drawn from the actor's normal distributions, in which ±1 are the world's bounds.

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    seen, deviation, (*hidden, (kernel, bias)), log_deviation = actor
    x = np.clip((obs - seen) / deviation, -10, 10)
    for weights, biases in hidden:
        x = np.tanh(x @ weights + biases)
    mean = x @ kernel + bias  # [N, A]
    return np.float32(mean + np.exp(log_deviation) * rng.standard_normal(mean.shape))


def for_the_world(action, space):
    """Actions [N, A] in units of the bounds → clipped, in the units of the world."""
    half, middle = (space.high - space.low) / 2, (space.high + space.low) / 2
    return middle + half * np.clip(action, -1, 1)


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


def running_returns(reward, ended, playing, discounted, gamma):
    """The discounted sum of the rewards of each game so far: reward, ended, playing [T, N] → [T, N].

    `discounted` [N], that of the steps before, becomes that of all.
    """
    sums = np.zeros_like(reward)
    for t in range(len(reward)):
        discounted[:] = sums[t] = gamma * discounted + np.where(playing[t], reward[t], 0)
        discounted[ended[t]] = 0
    return sums


def set_scales(model, seen, earned):
    """Give the model the scales of observations and of returns."""
    model.get_layer("obs_scale").set_weights([seen.mean, seen.variance])
    scale = np.where(earned.variance > 0, np.sqrt(earned.variance), 1)  # as long as no reward came, 1
    model.get_layer("return_scale").set_weights([scale[None]])


def flat(x):
    """The steps of all games one after the other: [T, N, ...] → [T * N, ...]."""
    return tf.reshape(x, (-1, *x.shape[2:]))


def log_probs(mean, log_deviation, action):
    """Log of the density at the actions, the numbers of an action being independent: [B, A] each → [B]."""
    assert mean.shape == log_deviation.shape == action.shape
    z = (action - mean) * tf.exp(-log_deviation)
    return -tf.reduce_sum(tf.square(z) / 2 + log_deviation + np.log(2 * np.pi) / 2, axis=-1)


def actor_loss(log_prob, old_log_prob, advantage, clip_range):
    """The clipped surrogate of each step, [B]: it has no gradient where the ratio has moved far enough."""
    assert log_prob.shape == old_log_prob.shape == advantage.shape
    ratio = tf.exp(log_prob - old_log_prob)
    clipped = tf.clip_by_value(ratio, 1 - clip_range, 1 + clip_range)
    return -tf.minimum(ratio * advantage, clipped * advantage)


def critic_loss(value, old_value, returns, clip_range):
    """Half the squared error of each step, [B].

    If `clip_range` is above 0, the larger of that and the one of a value that has moved at most so far from the old.
    """
    assert value.shape == old_value.shape == returns.shape
    error = tf.square(returns - value)
    if clip_range:
        near = old_value + tf.clip_by_value(value - old_value, -clip_range, clip_range)
        error = tf.maximum(error, tf.square(returns - near))
    return error / 2


def entropies(log_deviation):
    """Of the normal distributions: [B, A] → [B]."""
    return tf.reduce_sum(log_deviation + np.log(2 * np.pi * np.e) / 2, axis=-1)


def divergence(log_prob, old_log_prob):
    """Estimate of KL(old || new) from each step, [B] → [B]: ratio - 1 - log(ratio), which is never negative."""
    log_ratio = log_prob - old_log_prob
    return tf.exp(log_ratio) - 1 - log_ratio


def make_update(
    model, optimizer, gamma, gae_lambda, clip_range, value_clip_range, value_weight, entropy_weight,
    normalize_advantage, target_kl,
):  # fmt: skip
    """Compiled: a rollout and the rows of each of K minibatches, [K, B] → mean loss, entropy, divergence, all [].

    Of the rollout obs is [T + 1, N, D], the last row is observed after the last action; the others are [T, N, ...].

    Once the divergence of a minibatch is above `target_kl`, if that is above 0, no update follows.
    """
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, terminated, ended, playing, minibatches):
        # (2) Advantage and old probabilities.
        _, mean, log_deviation, value = model(flat(obs))  # [(T + 1) * N, A], [(T + 1) * N, A], [(T + 1) * N, 1]
        scale = model.get_layer("return_scale").kernel[0, 0]
        value = tf.reshape(value, obs.shape[:2])  # [T + 1, N]
        advantage = flat(advantages(reward, terminated, ended, value, gamma, gae_lambda))  # [T * N]
        action = flat(action)
        old_log_prob = log_probs(mean[: len(action)], log_deviation[: len(action)], action)  # [T * N]
        steps = flat(obs[:-1]), action, old_log_prob, flat(value[:-1]), advantage, flat(playing)
        sums, count = tf.zeros(3), 0.0
        for k in tf.range(len(minibatches)):
            obs, action, old_log_prob, old_value, advantage, playing = (tf.gather(x, minibatches[k]) for x in steps)
            returns, weight = advantage + old_value, tf.cast(playing, tf.float32)  # [B], 0 where a game only reset
            average = lambda x: tf.reduce_sum(weight * x) / tf.maximum(tf.reduce_sum(weight), 1.0)  # noqa: E731, B023
            # (3) Standardise.
            advantage /= scale
            if normalize_advantage:
                advantage -= average(advantage)
                advantage /= tf.sqrt(average(tf.square(advantage))) + 1e-8
            with tf.GradientTape() as tape:
                _, mean, log_deviation, value = model(obs)  # [B, A], [B, A], [B, 1]
                log_prob = log_probs(mean, log_deviation, action)
                # (4) Actor.
                loss = average(actor_loss(log_prob, old_log_prob, advantage, clip_range))
                # (5) Critic and entropy.
                loss += value_weight * average(
                    critic_loss(value[:, 0] / scale, old_value / scale, returns / scale, value_clip_range)
                )
                entropy = average(entropies(log_deviation))
                loss -= entropy_weight * entropy
            kl = average(divergence(log_prob, old_log_prob))
            sums, count = sums + tf.stack([loss, entropy, kl]), count + 1
            if target_kl and kl > target_kl:
                break
            # (6) Update.
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.unstack(sums / count)

    return update


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "Pendulum-v1",
    episodes: Count = 100_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 100_000,
    num_envs: Size = 16,
    hidden_units: Size = 64,
    learning_rate: Positive = 1e-3,
    learning_rate_decay_steps: Count = 100_000,
    adam_epsilon: Positive = 1e-5,
    max_gradient_norm: Positive = 0.5,
    log_deviation: float = 0.0,
    rollout_length: Size = 128,
    epochs: Size = 10,
    batch_size: Size = 64,
    gamma: Probability = 0.97,
    gae_lambda: Probability = 0.9,
    normalize_advantage: bool = True,
    clip_range: Positive = 0.2,
    value_clip_range: NonNegative = 0.0,
    value_weight: NonNegative = 0.5,
    entropy_weight: NonNegative = 0.0,
    target_kl: NonNegative = 0.0,
    eval_interval: Natural = 20_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Train an actor-critic by proximal policy optimisation for vectors of actions and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and vectors of bounded actions.
        episodes: largest number of games; games that end in the same rollout as the last one count, too.
        seed: random seed of the networks, the environments and the actions.
        logdir: folder of the run; runs/ppo_pendulum/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together, rounded up to whole rollouts.
        num_envs: games played side by side.
        hidden_units: width of the two hidden layers of each network.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        adam_epsilon: what Adam adds to the root of the mean squared gradient.
        max_gradient_norm: a longer gradient, of all weights together, is shortened to this length.
        log_deviation: initial log of the deviation of an action, in units of half the world's range.
        rollout_length: steps of each game between two rounds of updates.
        epochs: passes over the rollout in a round of updates.
        batch_size: steps per update; it must divide the number of those in a rollout.
        gamma: discount factor per step.
        gae_lambda: weight of later steps in the advantage; 0 is one step, 1 all steps of the rollout.
        normalize_advantage: standardise the advantages of each minibatch.
        clip_range: how far from 1 a ratio may move before its gradient ends.
        value_clip_range: how far from the old value a value may move before its gradient ends, in deviations of the
            returns; 0 is any distance.
        value_weight: weight of the critic's loss.
        entropy_weight: weight of the entropy bonus.
        target_kl: the divergence from the old policy that ends a round of updates; 0 is any divergence.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("ppo_pendulum", locals(), columns=("loss", "entropy", "divergence"))
    rows = np.arange(rollout_length * num_envs)
    if batch_size == 1 and normalize_advantage:
        raise UsageError("--batch_size=1: the advantage of one step, standardised, is 0; see --normalize_advantage")
    if len(rows) % batch_size:
        raise UsageError(f"--batch_size={batch_size} does not divide the {len(rows)} steps of a rollout")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs, actions="continuous")
    envs = Repeatable(make_envs(num_envs))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    obs_size, action_space = envs.single_observation_space.shape[0], envs.single_action_space
    model = build_actor_critic(obs_size, action_space, hidden_units, log_deviation)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=adam_epsilon, global_clipnorm=max_gradient_norm)
    update = make_update(
        model, optimizer, gamma, gae_lambda, clip_range, value_clip_range, value_weight, entropy_weight,
        normalize_advantage, target_kl,
    )  # fmt: skip
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool), "discounted": np.zeros(num_envs)}
    scales = {"seen": Moments(obs_size), "earned": Moments(1)}
    losses = {"loss": np.nan, "entropy": np.nan, "divergence": np.nan}
    carry = run.begin(model=model, optimizer=optimizer, **games, **losses, **scales, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
            # (1) Play.
            actor, rollout = actor_of(model), []
            for _ in range(rollout_length):
                action = act(actor, carry.obs, rng)
                next_obs, reward, terminated, truncated, _ = envs.step(for_the_world(action, action_space))
                playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
                carry.step += int(playing.sum())
                rollout.append((carry.obs, action, np.float32(reward), terminated, carry.ended, playing))
                carry.obs = next_obs
                losses = {"loss": carry.loss, "entropy": carry.entropy, "divergence": carry.divergence}
                run.log_steps(carry.step, reward, playing, carry.ended, **losses)

            # Learn.
            minibatches = np.concatenate([rng.permutation(rows) for _ in range(epochs)]).reshape(-1, batch_size)
            obs, action, reward, terminated, ended, playing = map(np.stack, zip(*rollout, strict=True))
            with_last = np.concatenate([obs, carry.obs[None]])
            results = update(with_last, action, reward, terminated, ended, playing, minibatches)
            carry.loss, carry.entropy, carry.divergence = (finite(x, carry.step) for x in results)

            # (7) Scales, after the update: the densities of its old policy are those of the policy that played.
            carry.seen.add(obs[playing])
            carry.earned.add(running_returns(reward, ended, playing, carry.discounted, gamma)[playing][:, None])
            set_scales(model, carry.seen, carry.earned)

            # Report.
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
