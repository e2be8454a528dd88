r"""PPO where some actions are forbidden: they get no probability, so that nothing has to be learnt about them.

The observation ends with a mask, 1 where an action is allowed. The network adds a number to the logits of the others
that leaves them no probability. So they are never sampled, they do not count in the entropy, and the gradient of their
logits is 0.

    (1) mask: the logits of forbidden actions are 1e9 lower
    (2) play: `rollout_length` steps of `num_envs` games, each action sampled from the actor's probabilities
    (3) advantage A, by generalised advantage estimation, and old probabilities, once for the whole rollout
    (4) advantages of each minibatch: mean 0, deviation 1
    (5) ratio = pi(a) / pi_old(a); the actor's loss is -min(ratio * A, clip(ratio, 1 - epsilon, 1 + epsilon) * A)
    (6) the critic's loss is (A + v_old - v)² / 2; `entropy_weight` times the entropy of pi is a bonus
    (7) update: one step of Adam, the gradient's norm at most `max_gradient_norm`; `epochs` passes over the rollout

Source: Huang, Ontañón, A Closer Look at Invalid Action Masking in Policy Gradient Algorithms, FLAIRS 35, 2022
(https://arxiv.org/abs/2006.14171).

Differs from the source in (book/masked_ppo_gridworld.md):

                here                                   source
    world       a grid, moves of one to four cells     a game of real-time strategy
    mask        the end of the observation             what the environment tells besides
    forbidden   logits 1e9 lower                       logits -1e8

    python recipes/masked_ppo_gridworld.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  -3.985 (-5.16 to -3.57); 29 of 30 at -5 or more
    games                            14,490 (12,809 to 16,903)
    steps                            100,240 (100,018 to 100,410)
    training                         9.598 (8.718 to 11.02) s
    whole process                    14.39 (13.47 to 16.54) s
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


def build_actor_critic(obs_size, num_actions, hidden_units, orthogonal):
    """Two networks side by side: obs [B, D], the last A numbers a mask → logits [B, A], value [B, 1]."""

    def dense(units, gain, activation=None, name=None):
        initial = keras.initializers.Orthogonal(gain) if orthogonal else "glorot_uniform"
        return keras.layers.Dense(units, activation, kernel_initializer=initial, name=name)

    obs = keras.Input((obs_size,))
    actor = critic = obs
    for layer in (1, 2):
        actor = dense(hidden_units, 2**0.5, "tanh", f"actor_{layer}")(actor)
        critic = dense(hidden_units, 2**0.5, "tanh", f"critic_{layer}")(critic)
    logits = dense(num_actions, 0.01, name="logits")(actor)
    # (1) Mask, by a layer of constant weights: 0 where an action is allowed, -1e9 where not.
    mask = keras.layers.Dense(num_actions, trainable=False, name="mask")
    logits = keras.layers.Add(name="masked_logits")([logits, mask(obs)])
    last = np.eye(obs_size, num_actions, num_actions - obs_size)  # picks the last numbers of an observation
    mask.set_weights([1e9 * last, np.full(num_actions, -1e9)])
    return keras.Model(obs, [logits, dense(1, 1.0, name="value")(critic)], name="actor_critic")


def actor_of(model):
    """Kernel and bias of each of the actor's layers, as NumPy arrays."""
    layers = (model.get_layer(name) for name in ("actor_1", "actor_2", "logits"))
    return [(layer.kernel.numpy(), layer.bias.numpy()) for layer in layers]


def act(actor, obs, rng):
    """obs [N, D] → actions [N], drawn from the actor's probabilities.

    In NumPy: for a small network and a few observations a call into TensorFlow takes many times as long.
    """
    *hidden, (kernel, bias) = actor
    mask = obs[:, -len(bias) :] > 0
    for weights, biases in hidden:
        obs = np.tanh(obs @ weights + biases)
    logits = np.where(mask, obs @ kernel + bias, -1e9)  # [N, A]
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


def log_probs(logits, action):
    """Of the actions taken: logits [B, A], action [B] → [B]."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(action, logits)


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


def entropies(logits):
    """Of the probabilities: logits [B, A] → [B]."""
    return -tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=-1)


def divergence(log_prob, old_log_prob):
    """Estimate of KL(old || new) from each step, [B] → [B]: ratio - 1 - log(ratio), which is never negative."""
    log_ratio = log_prob - old_log_prob
    return tf.exp(log_ratio) - 1 - log_ratio


def make_update(
    model, optimizer, gamma, gae_lambda, clip_range, value_clip_range, value_weight, entropy_weight,
    normalize_advantage, target_kl,
):  # fmt: skip
    """Compiled: a rollout and the rows of each of K minibatches, [K, B] → mean loss, entropy, divergence, all [].

    Of the rollout obs is [T + 1, N, D], the last row is observed after the last action; the others are [T, N].

    Once the divergence of a minibatch is above `target_kl`, if that is above 0, no update follows.
    """
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(obs, action, reward, terminated, ended, playing, minibatches):
        # (3) Advantage and old probabilities.
        logits, value = model(flat(obs))  # [(T + 1) * N, A], [(T + 1) * N, 1]
        value = tf.reshape(value, obs.shape[:2])  # [T + 1, N]
        advantage = flat(advantages(reward, terminated, ended, value, gamma, gae_lambda))  # [T * N]
        action = flat(action)
        old_log_prob = log_probs(logits[: len(action)], action)  # [T * N]
        steps = flat(obs[:-1]), action, old_log_prob, flat(value[:-1]), advantage, flat(playing)
        sums, count = tf.zeros(3), 0.0
        for k in tf.range(len(minibatches)):
            obs, action, old_log_prob, old_value, advantage, playing = (tf.gather(x, minibatches[k]) for x in steps)
            returns, weight = advantage + old_value, tf.cast(playing, tf.float32)  # [B], 0 where a game only reset
            mean = lambda x: tf.reduce_sum(weight * x) / tf.maximum(tf.reduce_sum(weight), 1.0)  # noqa: E731, B023
            # (4) Standardise.
            if normalize_advantage:
                advantage -= mean(advantage)
                advantage /= tf.sqrt(mean(tf.square(advantage))) + 1e-8
            with tf.GradientTape() as tape:
                logits, value = model(obs)  # [B, A], [B, 1]
                log_prob = log_probs(logits, action)
                # (5) Actor.
                loss = mean(actor_loss(log_prob, old_log_prob, advantage, clip_range))
                # (6) Critic and entropy.
                loss += value_weight * mean(critic_loss(value[:, 0], old_value, returns, value_clip_range))
                entropy = mean(entropies(logits))
                loss -= entropy_weight * entropy
            kl = mean(divergence(log_prob, old_log_prob))
            sums, count = sums + tf.stack([loss, entropy, kl]), count + 1
            if target_kl and kl > target_kl:
                break
            # (7) Update.
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.unstack(sums / count)

    return update


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "MaskedGridworld-v0",
    episodes: Count = 100_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 100_000,
    num_envs: Size = 8,
    hidden_units: Size = 64,
    learning_rate: Positive = 1e-3,
    learning_rate_decay_steps: Count = 100_000,
    adam_epsilon: Positive = 1e-5,
    max_gradient_norm: Positive = 0.5,
    orthogonal: bool = True,
    rollout_length: Size = 64,
    epochs: Size = 10,
    batch_size: Size = 128,
    gamma: Probability = 0.99,
    gae_lambda: Probability = 0.95,
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
    """Train an actor-critic by proximal policy optimisation with forbidden actions and save it as a Keras model.

    Args:
        env_id: an environment with discrete actions and vector observations that end with the mask of the actions.
        episodes: largest number of games; games that end in the same rollout as the last one count, too.
        seed: random seed of the networks, the environments and the actions.
        logdir: folder of the run; runs/masked_ppo_gridworld/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together, rounded up to whole rollouts.
        num_envs: games played side by side.
        hidden_units: width of the two hidden layers of each network.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        adam_epsilon: what Adam adds to the root of the mean squared gradient.
        max_gradient_norm: a longer gradient, of all weights together, is shortened to this length.
        orthogonal: orthogonal initial weights with gains of their own; otherwise Glorot's.
        rollout_length: steps of each game between two rounds of updates.
        epochs: passes over the rollout in a round of updates.
        batch_size: steps per update; it must divide the number of those in a rollout.
        gamma: discount factor per step.
        gae_lambda: weight of later steps in the advantage; 0 is one step, 1 all steps of the rollout.
        normalize_advantage: standardise the advantages of each minibatch.
        clip_range: how far from 1 a ratio may move before its gradient ends.
        value_clip_range: how far from the old value a value may move before its gradient ends; 0 is any distance.
        value_weight: weight of the critic's loss.
        entropy_weight: weight of the entropy bonus.
        target_kl: the divergence from the old policy that ends a round of updates; 0 is any divergence.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("masked_ppo_gridworld", locals(), columns=("loss", "entropy", "divergence"))
    rows = np.arange(rollout_length * num_envs)
    if batch_size == 1 and normalize_advantage:
        raise UsageError("--batch_size=1: the advantage of one step, standardised, is 0; see --normalize_advantage")
    if len(rows) % batch_size:
        raise UsageError(f"--batch_size={batch_size} does not divide the {len(rows)} steps of a rollout")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    shown, count = envs.reset(seed=seed)[0], int(envs.single_action_space.n)  # [N, D]
    if shown.shape[1] <= count or not np.isin(shown[:, -count:], (0, 1)).all():
        raise UsageError(f"{env_id} shows no mask: observations must end with 0 or 1 for each of {count} actions")
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    obs_space, num_actions = envs.single_observation_space, int(envs.single_action_space.n)
    model = build_actor_critic(obs_space.shape[0], num_actions, hidden_units, orthogonal)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=adam_epsilon, global_clipnorm=max_gradient_norm)
    update = make_update(
        model, optimizer, gamma, gae_lambda, clip_range, value_clip_range, value_weight, entropy_weight,
        normalize_advantage, target_kl,
    )  # fmt: skip
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    losses = {"loss": np.nan, "entropy": np.nan, "divergence": np.nan}
    carry = run.begin(model=model, optimizer=optimizer, **games, **losses, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            optimizer.learning_rate = linear(carry.step, learning_rate, 0.0, learning_rate_decay_steps)
            # (2) Play.
            actor, rollout = actor_of(model), []
            for _ in range(rollout_length):
                action = act(actor, carry.obs, rng)
                next_obs, reward, terminated, truncated, _ = envs.step(action)
                playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
                carry.step += int(playing.sum())
                rollout.append((carry.obs, action, np.float32(reward), terminated, carry.ended, playing))
                carry.obs = next_obs
                losses = {"loss": carry.loss, "entropy": carry.entropy, "divergence": carry.divergence}
                run.log_steps(carry.step, reward, playing, carry.ended, **losses)

            # Learn.
            minibatches = np.concatenate([rng.permutation(rows) for _ in range(epochs)]).reshape(-1, batch_size)
            obs, *others = map(np.stack, zip(*rollout, strict=True))
            results = update(np.concatenate([obs, carry.obs[None]]), *others, minibatches)
            carry.loss, carry.entropy, carry.divergence = (finite(x, carry.step) for x in results)

            # Report.
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell(is_final=carry.step >= learning_rate_decay_steps)
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
