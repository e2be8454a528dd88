r"""DDPG: a policy of real-valued actions climbs the slope of a critic, and swings a pendulum up.

An action that is a real number has no finite list of rivals, so no maximum over actions can be taken. Instead a second
network, the actor, gives the action. The critic estimates q(s, a), the expected discounted sum of the rewards that
follow action a in state s, and by the chain rule its slope in a says how each weight of the actor must change for q to
rise.

    (1) act: the actor's action plus normal noise, at first random actions
    (2) remember s, a, the reward r, and s'
    (3) target: y = r + gamma * q_target(s', mu_target(s')), where mu is the actor, and y = r where the game terminated
    (4) regress q(s, a) onto y with the squared error
    (5) move the actor's weights to where q(s, mu(s)) is higher
    (6) move the target networks by the share tau of the way to their networks

Source: Lillicrap et al., Continuous control with deep reinforcement learning, ICLR 2016
(https://arxiv.org/abs/1509.02971).

Differs from the source in (book/ddpg_pendulum.md):

                here                                     source
    network     two layers of 128 units                  400 and 300 units, with batch normalisation
    action      enters the critic's first layer          enters its second layer
    start       usual weights, random actions            last weights within ±0.003, the actor's actions
    noise       normal, independent at each step         Ornstein-Uhlenbeck, correlated over time
    games       8 side by side                           1
    updates     64 after every 64 steps, in one call     1 after every step
    batch       128                                      64
    optimizer   Adam, 1e-3                               Adam, actor 1e-4, critic 1e-3 with weight decay 1e-2
    gamma       0.98                                     0.99
    tau         0.01                                     0.001
    memory      20,000 steps                             1,000,000 steps

    python recipes/ddpg_pendulum.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  -150.0435 (-159.313 to -128.047); 5 of 10 at -152 or more
    games                            96
    steps                            19,200
    training                         14.4 (13.78 to 16.55) s
    whole process                    19.41 (18.78 to 22.14) s
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, NonNegative, Positive, Probability, Seed, Size, UsageError, strict, validated
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
    """Observations [B, D] → the actions of the policy as the world takes them, [B, A]."""
    middle, half = range_of(action_space)
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units, hidden_units), activation="relu")
    unit = keras.layers.Dense(len(half), activation="tanh")(hidden)  # [B, A], -1 to 1
    action = keras.layers.Rescaling(half.tolist(), middle.tolist(), name="action")(unit)
    return keras.Model(obs, action, name="actor")


def build_critic(obs_size, action_space, hidden_units):
    """Observations [B, D] and actions as the world takes them, [B, A] → q, [B]."""
    middle, half = range_of(action_space)
    obs, action = keras.Input((obs_size,)), keras.Input(half.shape)
    unit = keras.layers.Rescaling((1 / half).tolist(), (-middle / half).tolist())(action)  # [B, A], -1 to 1
    inputs = keras.layers.Concatenate()([obs, unit])
    hidden = mlp(inputs, (hidden_units, hidden_units), activation="relu")
    q = keras.layers.Reshape((), name="q")(keras.layers.Dense(1)(hidden))
    return keras.Model([obs, action], q, name="critic")


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B] → reward plus the discounted next_q, [B]."""
    assert reward.shape == discount.shape == next_q.shape
    return reward + discount * next_q


def make_act(model, action_space, exploration_noise):
    """Compiled: obs [N, D] and standard normal noise [N, A] → the actions with their share of the noise, [N, A]."""
    _, half = range_of(action_space)

    @tf.function
    def act(obs, noise):
        return model(obs) + exploration_noise * half * noise

    return act


def make_update(model, critic, target_model, target_critic, optimizer, critic_optimizer, gamma, tau):
    """Compiled: a step of both networks on each of K minibatches, [K, B, ...] → mean loss of the critic."""
    optimizer.build(model.trainable_variables)
    critic_optimizer.build(critic.trainable_variables)

    def follow(target_network, network):
        for target, weight in zip(target_network.trainable_variables, network.trainable_variables, strict=True):
            target.assign_add(tau * (weight - target))

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            next_q = target_critic([next_obs[k], target_model(next_obs[k])])  # [B]
            y = td_target(reward[k], gamma * (1 - terminated[k]), next_q)  # [B]
            # (4) Regress.
            with tf.GradientTape() as tape:
                q = critic([obs[k], action[k]])  # [B]
                assert q.shape == y.shape
                loss = tf.reduce_mean(tf.square(y - q))
            critic_optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)
            # (5) Climb.
            with tf.GradientTape() as tape:
                actor_loss = -tf.reduce_mean(critic([obs[k], model(obs[k])]))
            optimizer.apply(tape.gradient(actor_loss, model.trainable_variables), model.trainable_variables)
            # (6) Follow.
            follow(target_critic, critic)
            follow(target_model, model)
            total += loss
        return total / len(obs)

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
    exploration_noise: NonNegative = 0.1,
    train_interval: Count = 64,
    minibatches: Size = 64,
    batch_size: Size = 128,
    gamma: Probability = 0.98,
    tau: Probability = 0.01,
    eval_interval: Natural = 5_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 5_000,
) -> Path:
    """Train a deterministic policy and its critic, and save both as Keras models.

    Args:
        env_id: an environment with vectors of numbers as observations and as actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the networks, the environments, exploration and sampling.
        logdir: folder of the run; runs/ddpg_pendulum/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers of either network.
        learning_rate: of Adam, for both networks.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: steps with random actions, before the first update.
        exploration_noise: standard deviation of the noise of an action, as a share of half its range.
        train_interval: steps between two rounds of updates.
        minibatches: updates in a round, compiled into one call.
        batch_size: transitions per update.
        gamma: discount factor per step.
        tau: share of the way that the target networks go to their networks after each update.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("ddpg_pendulum", locals(), columns=("mean_loss",))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs, actions="continuous")
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space, bounds = envs.single_observation_space, envs.single_action_space, envs.action_space
    memory = ReplayBuffer(buffer_size, obs_space, action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    shape = obs_space.shape[0], action_space, hidden_units
    model, target_model = (build_actor(*shape) for _ in range(2))
    critic, target_critic = (build_critic(*shape) for _ in range(2))
    target_model.set_weights(model.get_weights())
    target_critic.set_weights(critic.get_weights())
    optimizer, critic_optimizer = keras.optimizers.Adam(learning_rate), keras.optimizers.Adam(learning_rate)
    act = make_act(model, action_space, exploration_noise)
    update = make_update(model, critic, target_model, target_critic, optimizer, critic_optimizer, gamma, tau)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    networks = {"model": model, "critic": critic, "target_model": target_model, "target_critic": target_critic}
    learner = {"optimizer": optimizer, "critic_optimizer": critic_optimizer, "memory": memory, "loss": np.nan}
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    carry = run.begin(**networks, **learner, **games, rng=rng, step=0)

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
                carry.loss = finite(update(*memory.sample((minibatches, batch_size), rng)), carry.step)

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, mean_loss=carry.loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
