r"""SAC: a policy that is rewarded for staying random explores by itself.

Each step brings, besides its reward, the temperature alpha times the entropy of the policy in the next state, so that
the policy decides no more than it has to. The actor gives a normal distribution, and tanh squashes what is drawn from
it into the bounds. The temperature is learned, too: it keeps the entropy at a target.

    (1) act: draw from the policy, at first random actions
    (2) remember s, a, the reward r, and s'
    (3) target: y = r + gamma * (min_i q_target_i(s', a') - alpha * log pi(a' | s')), where a' is drawn from the policy,
        and y = r where the game terminated
    (4) regress every q_i(s, a) onto y with the squared error
    (5) move the actor's weights to where min_i q_i(s, a) - alpha * log pi(a | s) is higher, with a = tanh(mean + std *
        noise), so that the slope in a reaches the weights
    (6) raise alpha where the entropy, the mean of -log pi, is below its target, and lower it elsewhere
    (7) move the target critics by the share tau of the way to the critics

The density of a squashed draw a = tanh(u) is log pi(a) = log N(u; mean, std) - log(1 - tanh(u)^2), and the last term is
2 (ln 2 - u - softplus(-2 u)), which is finite where tanh(u) rounds to 1. It counts actions from -1 to 1 in all worlds,
so that the target of the entropy means the same everywhere; scaling to the bounds of the world comes after it.

Source: Haarnoja et al., Soft Actor-Critic Algorithms and Applications, 2018 (https://arxiv.org/abs/1812.05905).

`diff recipes/td3_pendulum.py recipes/sac_pendulum.py` shows the idea. All settings that both have are the same.

Differs from the source in (book/sac_pendulum.md):

                here                                     source
    games       8 side by side                           1
    network     two layers of 128 units                  two layers of 256 units
    deviation   log std between -5 and 2 by tanh         clipped to -20 and 2 in its code
    updates     64 after every 64 steps, in one call     1 after every step
    batch       128                                      256
    optimizer   Adam, 1e-3                               Adam, 3e-4
    gamma       0.98                                     0.99
    tau         0.01                                     0.005
    memory      20,000 steps                             1,000,000 steps
    temperature a step moves its logarithm               a step moves it

    python recipes/sac_pendulum.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  -148.1995 (-159.383 to -128.464); 8 of 10 at -157 or more
    games                            96
    steps                            19,200
    training                         22.43 (20.91 to 22.7) s
    whole process                    28.07 (26.36 to 28.61) s
"""

from __future__ import annotations

import math
from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.networks import mlp
from common.replay import ReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def range_of(action_space):
    """The middle and half the range of each number of an action, [A] both: it lies within middle ± half."""
    low, high = action_space.low.astype(float), action_space.high.astype(float)
    return (low + high) / 2, (high - low) / 2


def build_actor(obs_size, action_space, hidden_units):
    """Observations [B, D] → the actions in the middle of the policy as the world takes them, [B, A].

    The other outputs are the normal distribution before tanh: its means and the logarithms of its deviations, [B, A].
    """
    middle, half = range_of(action_space)
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu")
    mean = keras.layers.Dense(len(half), name="mean")(hidden)
    unit = keras.layers.Activation("tanh")(mean)  # [B, A], -1 to 1
    action = keras.layers.Rescaling(half.tolist(), middle.tolist(), name="action")(unit)
    within = keras.layers.Dense(len(half), activation="tanh")(hidden)  # [B, A], -1 to 1
    log_std = keras.layers.Rescaling(3.5, -1.5, name="log_std")(within)  # [B, A], -5 to 2
    return keras.Model(obs, [action, mean, log_std], name="actor")


def build_critic(obs_size, action_space, hidden_units, count):
    """Observations [B, D] and actions as the world takes them, [B, A] → q of `count` critics apart, [B, C]."""
    middle, half = range_of(action_space)
    obs, action = keras.Input((obs_size,)), keras.Input(half.shape)
    unit = keras.layers.Rescaling((1 / half).tolist(), (-middle / half).tolist())(action)  # [B, A], -1 to 1
    inputs = keras.layers.Concatenate()([obs, unit])
    hidden = [mlp(inputs, (hidden_units, hidden_units), activation="relu") for _ in range(count)]
    q = keras.layers.Concatenate(name="q")([keras.layers.Dense(1, name=f"q_{i}")(h) for i, h in enumerate(hidden, 1)])
    return keras.Model([obs, action], q, name="critic")


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, C] → reward plus the discounted lowest next_q, [B]."""
    lowest = tf.reduce_min(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == lowest.shape
    return reward + discount * lowest


def squashed_normal(mean, log_std, noise):
    """mean, log_std and standard normal noise, [B, A] → tanh of the draws, [B, A], and log of their density, [B]."""
    assert mean.shape == log_std.shape == noise.shape
    u = mean + tf.exp(log_std) * noise  # [B, A]
    log_normal = -0.5 * tf.square(noise) - log_std - 0.5 * math.log(2 * math.pi)  # [B, A]
    log_slope = 2 * (math.log(2) - u - tf.nn.softplus(-2 * u))  # [B, A], log(1 - tanh(u)^2)
    return tf.tanh(u), tf.reduce_sum(log_normal - log_slope, axis=-1)


def draw(model, obs, noise, action_space):
    """obs [B, D] and standard normal noise [B, A] → actions of the policy as the world takes them, and log pi, [B]."""
    middle, half = range_of(action_space)
    _, mean, log_std = model(obs)
    unit, log_prob = squashed_normal(mean, log_std, noise)
    return middle + half * unit, log_prob


def make_act(model, action_space):
    """Compiled: obs [N, D] and standard normal noise [N, A] → actions of the policy, [N, A]."""

    @tf.function
    def act(obs, noise):
        return draw(model, obs, noise, action_space)[0]

    return act


def make_update(
    model, critic, target_critic, temperature, optimizer, critic_optimizer, gamma, tau, action_space, target_entropy
):  # fmt: skip
    """Compiled: a step of the networks on each of K minibatches, [K, B, ...] → mean loss of the critics, temperature.

    The minibatches come with standard normal noise for two draws from the policy, [K, 2, B, A].
    """
    policy_variables = [*model.trainable_variables, temperature.log]
    optimizer.build(policy_variables)
    critic_optimizer.build(critic.trainable_variables)

    def follow(target_network, network):
        for target, weight in zip(target_network.trainable_variables, network.trainable_variables, strict=True):
            target.assign_add(tau * (weight - target))

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated, noise):
        total = 0.0
        for k in tf.range(len(obs)):
            alpha = tf.exp(temperature.log)
            # (3) Target.
            next_action, next_log_prob = draw(model, next_obs[k], noise[k, 0], action_space)  # [B, A], [B]
            next_q = target_critic([next_obs[k], next_action]) - alpha * next_log_prob[:, None]  # [B, C]
            y = td_target(reward[k], gamma * (1 - terminated[k]), next_q)  # [B]
            # (4) Regress.
            with tf.GradientTape() as tape:
                q = critic([obs[k], action[k]])  # [B, C]
                assert q.shape[:1] == y.shape
                loss = tf.reduce_mean(tf.reduce_sum(tf.square(y[:, None] - q), axis=-1))
            critic_optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)
            # (5) Climb.
            with tf.GradientTape() as tape:
                drawn, log_prob = draw(model, obs[k], noise[k, 1], action_space)  # [B, A], [B]
                lowest = tf.reduce_min(critic([obs[k], drawn]), axis=-1)  # [B]
                assert log_prob.shape == lowest.shape
                actor_loss = tf.reduce_mean(alpha * log_prob - lowest)
            slopes = tape.gradient(actor_loss, model.trainable_variables)
            # (6) Temperature.
            surplus = -tf.reduce_mean(log_prob) - target_entropy  # of entropy, as slope in log alpha
            optimizer.apply([*slopes, surplus], policy_variables)
            # (7) Follow.
            follow(target_critic, critic)
            total += loss
        return total / len(obs), tf.exp(temperature.log)

    return update


@validated
def train(
    env_id: str = "Pendulum-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 20_000,
    num_envs: Size = 8,
    hidden_units: Size = 128,
    learning_rate: Positive = 1e-3,
    buffer_size: Count = 20_000,
    learning_starts: Natural = 1_000,
    target_entropy: float = -1.0,
    train_interval: Count = 64,
    minibatches: Size = 64,
    batch_size: Size = 128,
    gamma: Probability = 0.98,
    tau: Probability = 0.01,
    eval_interval: Natural = 5_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 5_000,
) -> Path:
    """Train a policy, its critics and the temperature of its entropy, and save policy and critics as Keras models.

    Args:
        env_id: an environment with vectors of numbers as observations and as actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the networks, the environments, exploration and sampling.
        logdir: folder of the run; runs/sac_pendulum/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers of either network.
        learning_rate: of Adam, for both networks and the temperature.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: steps with random actions, before the first update.
        target_entropy: of the policy, in nats per number of an action, in units in which it is between -1 and 1.
        train_interval: steps between two rounds of updates.
        minibatches: updates in a round, compiled into one call.
        batch_size: transitions per update.
        gamma: discount factor per step.
        tau: share of the way that the target networks go to their networks after each update.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("sac_pendulum", locals(), columns=("temperature", "mean_loss"))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs, actions="continuous")
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space, bounds = envs.single_observation_space, envs.single_action_space, envs.action_space
    memory = ReplayBuffer(buffer_size, obs_space, action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    shape = obs_space.shape[0], action_space, hidden_units
    model, temperature = build_actor(*shape), tf.Module()
    temperature.log = tf.Variable(0.0)
    critic, target_critic = (build_critic(*shape, 2) for _ in range(2))
    target_critic.set_weights(critic.get_weights())
    optimizer, critic_optimizer = keras.optimizers.Adam(learning_rate), keras.optimizers.Adam(learning_rate)
    act = make_act(model, action_space)
    update = make_update(
        model, critic, target_critic, temperature, optimizer, critic_optimizer, gamma, tau, action_space,
        target_entropy * action_space.shape[0],
    )  # fmt: skip
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    networks = {"model": model, "critic": critic, "target_critic": target_critic, "temperature": temperature}
    learner = {"optimizer": optimizer, "critic_optimizer": critic_optimizer, "memory": memory, "loss": np.nan}
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    carry = run.begin(**networks, **learner, **games, rng=rng, step=0, alpha=1.0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            # (1) Act.
            if carry.step < learning_starts:
                action = rng.uniform(bounds.low, bounds.high)
            else:
                action = act(carry.obs, rng.standard_normal(bounds.shape, np.float32))
            action = np.clip(action, bounds.low, bounds.high).astype(bounds.dtype)
            next_obs, reward, terminated, truncated, _ = envs.step(action)
            playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # (2) Remember.
            memory.add(*(part[playing] for part in (carry.obs, action, reward, next_obs, terminated)))
            carry.obs = next_obs

            # Learn from what is remembered.
            for _ in range(due(carry.step, train_interval, playing.sum()) if memory.is_ready(learning_starts) else 0):
                noise = rng.standard_normal((minibatches, 2, batch_size, *action_space.shape), np.float32)
                results = update(*memory.sample((minibatches, batch_size), rng), noise)
                carry.loss, carry.alpha = (finite(result, carry.step) for result in results)

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, temperature=carry.alpha, mean_loss=carry.loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
