r"""Deep Q-Network on a grid: find the shortest way from pixels, with a target network.

A small convolutional network sees the walls, the agent and the goal as layers of an image, and estimates q(s, a), the
expected discounted sum of the rewards that follow an action. Between two moves it is fitted to steps from a replay
memory: the target is the reward plus the discounted best value of the next state, which a slower copy of the network,
the target network, estimates.

    (1) act: mostly the action with the highest q, with probability epsilon a random one
    (2) remember the step
    (3) target: y = r + gamma * max_a q_target(s', a), and y = r where the episode terminated
    (4) fit q(s, a) to y, mean squared error, one minibatch after the other
    (5) every `target_interval` updates, copy the network into the target network

Source: Neuromatch Academy, W3D4 bonus tutorial, section 2
(https://deeplearning.neuromatch.io/tutorials/W3D4_BasicReinforcementLearning/chapter_title.html), after Mnih et al.,
Nature 518:529 (https://doi.org/10.1038/nature14236).

Differs from the text in (book/dqn_gridworld.md):

                here                                       text
    loss        values [B] against targets [B]             [B, 1] against [B]: every value against every target
    last state  where the agent ended                      the start
    games       3,000 of up to 100 steps, 64 at a time     500 of up to 50 steps, one at a time
    memory      20,000 steps                               100,000 steps
    fitting     2 minibatches of 32 per 64 steps           1 minibatch of 10 per step
    optimizer   Adam 0.006, halved every 1,000 updates     Adam 0.0005
    exploration random for 5,000 steps, then epsilon 0.6   epsilon 0.25

What one thing of the text at a time does:

    as in the text  goals of RandomGoal reached by a shortest way, of 49, on two seeds
    nothing         48 and 49; without the target network 49 and 49
    loss            1 and 1

    python recipes/dqn_gridworld.py --env_id=grids/Obstacle-v0      (or grids/Simple-v0, grids/RandomGoal-v0)

10 seeds, median (lowest to highest), one core of an AMD EPYC, by `benchmarks/results.py`:

    --env_id=grids/Simple-v0
    share of the goals reached by a shortest way  1; 10 of 10 at 1 or more
    games                                         3,001 (3,000 to 3,004)
    steps                                         57,994 (53,834 to 60,301)
    training                                      7.123 (6.448 to 7.846) s
    whole process                                 13.14 (12.16 to 14.06) s

    --env_id=grids/Obstacle-v0
    share of the goals reached by a shortest way  1; 10 of 10 at 1 or more
    games                                         3,000 (3,000 to 3,003)
    steps                                         82,794 (80,841 to 85,513)
    training                                      10.45 (9.524 to 11.3) s
    whole process                                 16.89 (15.83 to 17.72) s

    --env_id=grids/RandomGoal-v0
    share of the goals reached  1; 10 of 10 at 1 or more
    games                       3,002 (3,001 to 3,005)
    steps                       89,226 (79,948 to 97,994)
    training                    10.1 (9.358 to 11.65) s
    whole process               16.48 (15.24 to 17.74) s

`diff recipes/nfq_gridworld.py recipes/dqn_gridworld.py` shows what pixels and a target network change.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.plots import draw_grid
from common.replay import ReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec


def build_q_network(obs_shape, num_actions):
    """Layers of walls, agent and goal, [B, height, width, 3] → q of every action, [B, A]."""
    obs = keras.Input(obs_shape, dtype="float32")
    x = keras.layers.ZeroPadding2D(1)(obs)
    x = keras.layers.Conv2D(32, 4, strides=2, activation="relu", kernel_initializer="he_uniform")(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu", kernel_initializer="he_uniform")(x)
    x = keras.layers.MaxPooling2D(3, strides=1)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(50, activation="relu", kernel_initializer="he_uniform")(x)
    return keras.Model(obs, keras.layers.Dense(num_actions, name="q")(x), name="q_network")


def build_optimizer(learning_rate, half_life):
    """Adam with a learning rate that halves every `half_life` updates, so that the values converge."""
    return keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(learning_rate, half_life, 0.5))


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, A] → reward plus the discounted best of next_q, [B]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == best.shape
    return reward + discount * best


def squared_error(y, q):
    """Mean of (y - q)²: targets [B], values [B] → []."""
    assert y.shape == q.shape  # [B] and [B, 1] would broadcast: every value against every target
    return tf.reduce_mean((y - q) ** 2)


def make_act(model):
    """Compiled: obs [N, ...] → the action with the highest q, [N]."""

    @tf.function
    def act(obs):
        return tf.argmax(model(obs), axis=-1)

    return act


def make_update(model, target_model, optimizer, gamma):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss."""
    optimizer.build(model.trainable_variables)

    @tf.function  # without XLA, whose convolutions are slow on a CPU
    def update(obs, action, reward, next_obs, terminated):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            y = td_target(reward[k], gamma * (1 - terminated[k]), target_model(next_obs[k]))  # [B]
            # (4) Fit.
            with tf.GradientTape() as tape:
                q = tf.gather(model(obs[k]), action[k], axis=1, batch_dims=1)  # [B, A] → [B]
                loss = squared_error(y, q)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
        return total / len(obs)

    return update


@validated
def train(
    env_id: str = "grids/Simple-v0",
    episodes: Count = 3000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    num_envs: Size = 64,
    max_steps: Count = 100,
    learning_rate: Positive = 6e-3,
    learning_rate_half_life: Count = 1000,
    buffer_size: Count = 20_000,
    learning_starts: Natural = 5000,
    epsilon: Probability = 0.6,
    minibatches: Size = 2,
    batch_size: Size = 32,
    gamma: Probability = 0.9,
    target_interval: Count = 25,
    eval_interval: Natural = 50_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Train a Deep Q-Network on the pixels of a grid world and save it as a Keras model.

    Args:
        env_id: grids/Simple-v0, grids/Obstacle-v0, grids/RandomGoal-v0, or Gridworld-v0 with its bombs.
        episodes: games of all agents together; games that end in the same step as the last one count, too.
        seed: random seed of the network, the goals, exploration and sampling.
        logdir: folder of the run; runs/dqn_gridworld/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: agents, each in its own copy of the world.
        max_steps: steps after which a game is truncated.
        learning_rate: initial learning rate of Adam.
        learning_rate_half_life: number of updates in which the learning rate halves.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: random steps before the first update.
        epsilon: probability of a random action.
        minibatches: updates between two moves of all agents.
        batch_size: steps per minibatch.
        gamma: discount factor per step.
        target_interval: updates between two copies into the target network, which wait for the end of a round.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("dqn_gridworld", locals(), ("mean_loss",), {"observation": "grid", "max_steps": max_steps})
    if learning_starts > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="grids", env_kwargs=run.env_kwargs)
    envs = make_envs(num_envs)
    num_actions = int(envs.single_action_space.n)
    memory = ReplayBuffer(buffer_size, envs.single_observation_space, envs.single_action_space)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model, target_model = (build_q_network(envs.single_observation_space.shape, num_actions) for _ in range(2))
    target_model.set_weights(model.get_weights())
    optimizer = build_optimizer(learning_rate, learning_rate_half_life)
    act, update = make_act(model), make_update(model, target_model, optimizer, gamma)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    carried = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    carried |= {"target_model": target_model, "updates": 0}
    carry = run.begin(model=model, optimizer=optimizer, memory=memory, rng=rng, step=0, **carried)
    loss = np.nan

    with closing(envs), run:
        while run.episode < episodes and not run.interrupted:
            # (1) Act.
            learning = memory.is_ready(learning_starts)
            explore = rng.random(num_envs) < (epsilon if learning else 1)
            action = np.where(explore, rng.integers(num_actions, size=num_envs), act(carry.obs))
            next_obs, reward, terminated, truncated, _ = envs.step(action)
            playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # (2) Remember.
            memory.add(*(rows[playing] for rows in (carry.obs, action, reward, next_obs, terminated)))
            carry.obs = next_obs

            # Learn from what is remembered.
            if learning:
                loss = finite(update(*memory.sample((minibatches, batch_size), rng)), carry.step)
                # (5) Copy.
                carry.updates += minibatches
                if due(carry.updates, target_interval, minibatches):
                    target_model.set_weights(model.get_weights())

            # Report.
            run.log_steps(carry.step, reward, playing, carry.ended, mean_loss=loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    walks = envs.grid.walk_to_every_goal(act)
    run.note(returns=walks.returns.tolist(), lengths=walks.lengths.tolist(), shortest=walks.shortest.tolist())
    draw_grid(run.dir, envs.grid, model, epsilon, rng)
    print(f"{env_id}: {walks}")
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
