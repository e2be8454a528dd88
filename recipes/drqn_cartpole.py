r"""Deep Recurrent Q-Network: balance a pole without seeing velocities, with a network that remembers.

One observation of CartPole without velocities fits many situations, so no function of it can balance the pole. An LSTM
carries a state h from step to step, and q(o, h, a) depends on all that was seen in the game. It learns from sequences
of a replay memory, which also holds the state that the network had at each step. That state comes from older weights,
so the first steps of a sequence only bring it up to date, which is called burn-in.

    (1) act: the action with the highest q, with probability epsilon a random one; keep the state, and set it to 0 where
        a game begins
    (2) remember the steps and their states, in order
    (3) targets, from the last step of a sequence backwards: y_t = r_t + gamma * ((1 - lambda) * v_(t+1) + lambda *
        y_(t+1)), where v is the highest q of the target network; v alone counts where the sequence or the game ends,
        and y_t = r_t where the game terminated
    (4) regress q(o, h, a) onto y at the steps after the burn-in with the squared error
    (5) every `target_interval` updates, copy the network into the target network

Source: Hausknecht and Stone, Deep Recurrent Q-Learning for Partially Observable MDPs
(https://arxiv.org/abs/1507.06527). Remembered states, burn-in, and the last action as an input: Kapturowski et al.,
Recurrent Experience Replay in Distributed Reinforcement Learning (https://openreview.net/forum?id=r1lyTjAqYX).

Differs from the source in (book/drqn_cartpole.md):

                here                                     source
    observation two numbers                              one frame of a game
    input       the observation and the last action      the observation
    network     LSTM of 32 units, two layers of 128      three convolutions, LSTM of 512 units
    sequence    8 steps of burn-in, 16 to learn from     10 to learn from
    first state as remembered                            0
    rewards     averaged over lengths, lambda 0.8        of 1 step
    optimizer   Adam, 2.3e-3, linearly to 0              Adadelta, 0.1

    python recipes/drqn_cartpole.py

10 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  497.17 (411.1 to 500); 9 of 10 at 475 or more
    games                            231 (213 to 251)
    steps                            49,237 (48,878 to 49,990)
    training                         65.81 (61.46 to 69.74) s
    whole process                    72.51 (68.43 to 76.28) s
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
from common.replay import SequenceReplayBuffer
from common.run import Run, due, finite
from envs.checked import make_vec
from envs.repeatable import Repeatable


def build_q_network(obs_size, num_actions, hidden_units, memory_units, obs_scale):
    """Observations [B, D] and state [B, S] → q of every action [B, A] and the next state; the first state is 0.

    The state holds both vectors of the LSTM and the last action, one-hot; of the next one it is the greedy action.
    """
    obs, state = keras.Input((obs_size,), name="obs"), keras.Input((2 * memory_units + num_actions,), name="state")
    *memory, last_action = keras.ops.split(state, [memory_units, 2 * memory_units], axis=-1)
    seen = keras.layers.Rescaling(obs_scale)(obs)
    output, memory = keras.layers.LSTMCell(memory_units)(keras.layers.Concatenate()([seen, last_action]), memory)
    hidden = mlp(keras.layers.Concatenate()([seen, output]), (hidden_units, hidden_units), activation="relu")
    q = keras.layers.Dense(num_actions, name="q")(hidden)
    action = keras.ops.one_hot(keras.ops.top_k(q, 1)[1][:, 0], num_actions)
    next_state = keras.layers.Concatenate(name="next_state")([*memory, action])
    return keras.Model([obs, state], [q, next_state], name="q_network")


def with_action(state, action, num_actions):
    """The state [B, S] with the action that was taken, [B], in the place of the greedy one."""
    return tf.concat([state[:, :-num_actions], tf.one_hot(action, num_actions)], axis=-1)


def unroll(model, state, obs, inside, action, burn_in):
    """The network step by step through sequences, its state 0 until they are inside their game.

    state [B, S], obs [B, W + T + 1, D], inside [B, W + T + 1], action [B, W + T] → q of every action after the W steps
    of burn-in, [B, T + 1, A].
    """
    outputs = []
    for t in range(obs.shape[1]):
        q, state = model([obs[:, t], state])  # [B, A], [B, S]
        outputs.append(q)
        if t < action.shape[1]:
            state = inside[:, t, None] * with_action(state, action[:, t], q.shape[1])
        state = tf.stop_gradient(state) if t < burn_in else state
    return tf.stack(outputs[burn_in:], axis=1)


def lambda_returns(reward, discount, next_q, learned, q_lambda):
    """Targets along sequences: reward, discount (0 where terminated) and learned [B, T], next_q [B, T, A] → [B, T]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B, T]
    assert reward.shape == discount.shape == best.shape == learned.shape
    goes_on = tf.pad(learned[:, 1:], [[0, 0], [0, 1]])  # [B, T], 0 at the last step of a game or a sequence
    y, targets = tf.zeros_like(best[:, 0]), []  # [B]
    for t in reversed(range(reward.shape[1])):
        y = reward[:, t] + discount[:, t] * (best[:, t] + q_lambda * goes_on[:, t] * (y - best[:, t]))
        targets.append(y)
    return tf.stack(targets[::-1], axis=1)


def make_act(model):
    """Compiled: obs [N, D], state [N, S] → the action with the highest q, [N], and the next state."""

    @tf.function
    def act(obs, state):
        q, state = model([obs, state])
        return tf.argmax(q, axis=-1), state

    return act


def make_update(model, target_model, optimizer, gamma, q_lambda, burn_in):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss, 0 where nothing is learned."""
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(state, obs, inside, action, reward, terminated, learned):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            next_q = unroll(target_model, state[k], obs[k], inside[k], action[k], burn_in)[:, 1:]  # [B, T, A]
            y = lambda_returns(reward[k], gamma * (1 - terminated[k]), next_q, learned[k], q_lambda)  # [B, T]
            # (4) Regress.
            with tf.GradientTape() as tape:
                q = unroll(model, state[k], obs[k], inside[k], action[k], burn_in)[:, :-1]  # [B, T, A]
                q = tf.gather(q, action[k][:, burn_in:], axis=2, batch_dims=2)  # [B, T]
                assert q.shape == y.shape
                loss = tf.reduce_mean(learned[k] * tf.square(y - q))
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
        return total / len(obs)

    return update


def linear(step, start, end, steps):
    """From `start` at step 0 linearly to `end` at step `steps`, and constant from there on."""
    return float(np.interp(step, [0, steps], [start, end]))


@validated
def train(
    env_id: str = "CartPoleNoVelocity-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    steps: Count = 50_000,
    num_envs: Size = 8,
    hidden_units: Size = 128,
    memory_units: Size = 32,
    obs_scale: Positive = 10.0,
    learning_rate: Positive = 2.3e-3,
    learning_rate_decay_steps: Count = 50_000,
    buffer_size: Count = 20_000,
    burn_in: Natural = 8,
    length: Count = 16,
    learning_starts: Natural = 1_000,
    epsilon_final: Probability = 0.04,
    epsilon_decay_steps: Count = 8_000,
    train_interval: Count = 64,
    minibatches: Size = 16,
    batch_size: Size = 16,
    gamma: Probability = 0.99,
    q_lambda: Probability = 0.8,
    target_interval: Count = 32,
    eval_interval: Natural = 10_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 10_000,
) -> Path:
    """Train a Deep Recurrent Q-Network on vectors and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/drqn_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        steps: environment steps, over all environments together.
        num_envs: games played side by side.
        hidden_units: width of both hidden layers, which follow the LSTM.
        memory_units: width of the LSTM.
        obs_scale: factor of the observations.
        learning_rate: initial learning rate of Adam.
        learning_rate_decay_steps: steps in which the learning rate falls linearly to 0.
        buffer_size: capacity of the replay memory, in steps.
        burn_in: steps before a drawn one that only bring the state up to date, in no loss.
        length: steps to learn from, from a drawn one on; compiling takes longer the longer they and burn_in are.
        learning_starts: steps before the first update.
        epsilon_final: probability of a random action after the decay.
        epsilon_decay_steps: steps in which the probability of a random action falls linearly from 1 to epsilon_final.
        train_interval: steps between two rounds of updates.
        minibatches: updates in a round, compiled into one call.
        batch_size: sequences per update.
        gamma: discount factor per step.
        q_lambda: weight of the next target in a target; that of the next value is the rest of 1.
        target_interval: updates between two copies into the target network, which wait for the end of a round.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("drqn_cartpole", locals(), columns=("epsilon", "mean_loss"))
    if max(learning_starts, 1) > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = Repeatable(make_envs(num_envs))
    obs_space, action_space = envs.single_observation_space, envs.single_action_space
    num_actions = int(action_space.n)
    state_size = 2 * memory_units + num_actions
    memory = SequenceReplayBuffer(buffer_size, num_envs, obs_space, action_space, state_size, burn_in, length)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    sizes = obs_space.shape[0], num_actions, hidden_units, memory_units, obs_scale
    model, target_model = (build_q_network(*sizes) for _ in range(2))
    target_model.set_weights(model.get_weights())
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=10.0)
    act, update = make_act(model), make_update(model, target_model, optimizer, gamma, q_lambda, burn_in)
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    games = {"envs": envs, "obs": obs, "ended": np.zeros(num_envs, bool)}
    learner = {"model": model, "target_model": target_model, "optimizer": optimizer, "updates": 0, "loss": np.nan}
    carry = run.begin(**learner, **games, state=np.zeros((num_envs, state_size), "f4"), memory=memory, rng=rng, step=0)

    with closing(envs), run:
        while run.episode < episodes and carry.step < steps and not run.interrupted:
            # (1) Act.
            epsilon = linear(carry.step, 1.0, epsilon_final, epsilon_decay_steps)
            explore = rng.random(num_envs) < epsilon
            greedy, next_state = act(carry.obs, carry.state)
            action = np.where(explore, rng.integers(num_actions, size=num_envs), greedy)
            next_obs, reward, terminated, truncated, _ = envs.step(action)
            playing, carry.ended = ~carry.ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # (2) Remember.
            memory.add(carry.state, carry.obs, action, reward, terminated, playing)
            carry.obs = next_obs
            carry.state = np.where(playing[:, None], with_action(next_state, action, num_actions), 0)

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
