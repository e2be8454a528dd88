r"""TD3: three repairs of DDPG's critic, which the actor would otherwise lead astray.

The actor climbs wherever the critic is highest, so it finds the places where the critic is too high by mistake, and the
targets carry these mistakes on. TD3 asks two critics and believes the lower one, it judges an action by its neighbours,
and it moves the actor less often than the critics. Each repair has a flag that leaves it out.

    (1) act: the actor's action plus normal noise, at first random actions
    (2) remember s, a, the reward r, and s'
    (3) target: y = r + gamma * min_i q_target_i(s', a'), and y = r where the game terminated (--twins=false: one
        critic), with a' = mu_target(s') + clipped noise, where mu is the actor (--target_noise=0: without noise)
    (4) regress every q_i(s, a) onto y with the squared error
    (5) every `policy_delay` updates, move the actor's weights to where q_1(s, mu(s)) is higher (--policy_delay=1: after
        every update)
    (6) whenever the actor moved, move the target networks by the share tau of the way to their networks

Source: Fujimoto, van Hoof, Meger, Addressing Function Approximation Error in Actor-Critic Methods, ICML 2018
(https://arxiv.org/abs/1802.09477).

`diff recipes/ddpg_pendulum.py recipes/td3_pendulum.py` shows the three repairs. With all of them left out this is
`recipes/ddpg_pendulum.py`, whose settings it shares.

Differs from the source in (book/td3_pendulum.md):

                here                                     source
    network     two layers of 128 units                  400 and 300 units
    games       8 side by side                           1
    updates     64 after every 64 steps, in one call     1 after every step
    batch       128                                      100
    gamma       0.98                                     0.99
    tau         0.01                                     0.005
    memory      20,000 steps                             1,000,000 steps

    python recipes/td3_pendulum.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  -149.0095 (-163.381 to -127.266); 5 of 10 at -152 or more
    games                            96
    steps                            19,200
    training                         16.7 (16.33 to 17.28) s
    whole process                    21.78 (21.32 to 22.4) s
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


def smoothed(action, noise, action_space, noise_clip):
    """Actions [B, A] with noise [B, A], as a share of half the range and at most `noise_clip` of it, in the bounds."""
    _, half = range_of(action_space)
    assert action.shape == noise.shape
    action += half * tf.clip_by_value(noise, -noise_clip, noise_clip)  # [B, A]
    return tf.clip_by_value(action, action_space.low, action_space.high)


def make_act(model, action_space, exploration_noise):
    """Compiled: obs [N, D] and standard normal noise [N, A] → the actions with their share of the noise, [N, A]."""
    _, half = range_of(action_space)

    @tf.function
    def act(obs, noise):
        return model(obs) + exploration_noise * half * noise

    return act


def make_update(
    model, critic, target_model, target_critic, optimizer, critic_optimizer, gamma, tau,
    action_space, policy_delay, target_noise, noise_clip,
):  # fmt: skip
    """Compiled: a step of the networks on each of K minibatches, [K, B, ...] → mean loss of the critics.

    The minibatches come with standard normal noise for the actions of the targets, [K, B, A].
    """
    optimizer.build(model.trainable_variables)
    critic_optimizer.build(critic.trainable_variables)
    first_critic = keras.Model(critic.input, critic.get_layer("q_1").output)

    def follow(target_network, network):
        for target, weight in zip(target_network.trainable_variables, network.trainable_variables, strict=True):
            target.assign_add(tau * (weight - target))

    @tf.function(jit_compile=True)
    def update(obs, action, reward, next_obs, terminated, noise):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            next_action = smoothed(target_model(next_obs[k]), target_noise * noise[k], action_space, noise_clip)
            next_q = target_critic([next_obs[k], next_action])  # [B, C]
            y = td_target(reward[k], gamma * (1 - terminated[k]), next_q)  # [B]
            # (4) Regress.
            with tf.GradientTape() as tape:
                q = critic([obs[k], action[k]])  # [B, C]
                assert q.shape[:1] == y.shape
                loss = tf.reduce_mean(tf.reduce_sum(tf.square(y[:, None] - q), axis=-1))
            critic_optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)
            if critic_optimizer.iterations % policy_delay == 0:
                # (5) Climb.
                with tf.GradientTape() as tape:
                    actor_loss = -tf.reduce_mean(first_critic([obs[k], model(obs[k])]))
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
    twins: bool = True,
    policy_delay: Size = 2,
    target_noise: NonNegative = 0.2,
    noise_clip: NonNegative = 0.5,
    train_interval: Count = 64,
    minibatches: Size = 64,
    batch_size: Size = 128,
    gamma: Probability = 0.98,
    tau: Probability = 0.01,
    eval_interval: Natural = 5_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 5_000,
) -> Path:
    """Train a deterministic policy and its critics, and save both as Keras models.

    Args:
        env_id: an environment with vectors of numbers as observations and as actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the networks, the environments, exploration and sampling.
        logdir: folder of the run; runs/td3_pendulum/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers of either network.
        learning_rate: of Adam, for both networks.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: steps with random actions, before the first update.
        exploration_noise: standard deviation of the noise of an action, as a share of half its range.
        twins: whether the target is the lower value of two critics; else there is one critic.
        policy_delay: updates of the critics between two steps of the actor and of the target networks.
        target_noise: standard deviation of the noise of an action in a target, as a share of half its range.
        noise_clip: largest such noise, in the same unit.
        train_interval: steps between two rounds of updates.
        minibatches: updates in a round, compiled into one call.
        batch_size: transitions per update.
        gamma: discount factor per step.
        tau: share of the way that the target networks go to their networks each time the actor has moved.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("td3_pendulum", locals(), columns=("mean_loss",))
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
    critic, target_critic = (build_critic(*shape, 1 + twins) for _ in range(2))
    target_model.set_weights(model.get_weights())
    target_critic.set_weights(critic.get_weights())
    optimizer, critic_optimizer = keras.optimizers.Adam(learning_rate), keras.optimizers.Adam(learning_rate)
    act = make_act(model, action_space, exploration_noise)
    update = make_update(
        model, critic, target_model, target_critic, optimizer, critic_optimizer, gamma, tau,
        action_space, policy_delay, target_noise, noise_clip,
    )  # fmt: skip
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
                noise = rng.standard_normal((minibatches, batch_size, *action_space.shape), np.float32)
                carry.loss = finite(update(*memory.sample((minibatches, batch_size), rng), noise), carry.step)

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, mean_loss=carry.loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
