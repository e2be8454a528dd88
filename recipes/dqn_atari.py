r"""Deep Q-Network: learn to play an Atari game from its pixels.

A convolutional network estimates, for each action, the discounted reward still to come. It learns from its own past:
remembered steps, drawn at random, are regressed onto the reward plus the best value a slower copy of it sees next.

    (1) act: mostly the action with the highest q, with probability epsilon a random one
    (2) remember the step
    (3) target: y = r + gamma * max_a q_target(s', a), and y = r where the episode terminated; with --n_step=n the sum
        of n rewards comes before the bootstrap, discounted step by step
    (4) regress q(s, a) onto y, large errors clipped
    (5) every `target_interval` updates, copy the network into the target network

Source: Richert, Coelho, Brucher, Building Machine Learning Systems with Python, chapter 13, after Mnih et al.,
Nature 518:529 (2015).

Differs from the text in (book/dqn_atari.md tells what each is worth):

                here                                     text
    update      on the state acted in                    on the next state: fits q(s', a) to the target of (s, a)
    score       the game's own                           the clipped reward
    optimizer   Adam 1e-4 (--optimizer=rmsprop is there) RMSProp 2.5e-4, momentum 0.95, epsilon 0.01
    copy        every 250 updates (1,000 steps)          every 10,000 steps
    frames      84 x 84, maximum of two                  80 x 105, every second pixel
    start       0 to 29 idle frames                      1 to 10 idle steps
    exploration 1 to 0.01 in 100,000 steps               1 to 0.1 in 1,000,000
    memory      100,000 steps, each frame once           400,000 steps, each frame eight times

    python recipes/dqn_atari.py --env_id=ALE/Pong-v5 --episodes=380 --n_step=3 --learning_rate=2e-4 --train_interval=8 \
        --epsilon_decay_steps=150000 --eval_episodes=20

Scores 19.95 ± 0.92 over 20 games at epsilon 0.001, one seed, after 694,424 steps: 57 minutes on two cores of a Xeon at
2.5 GHz (book/results/dqn_atari_pong).

What --resume cannot restore: the games being played. They are abandoned and new ones begin; and without --save_memory
the replay memory fills again before learning goes on.
"""

from __future__ import annotations

from typing import Literal

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Fraction, Natural, Positive, Seed, UsageError, strict
from common.lazy import keras, tf
from common.networks import nature_cnn
from common.replay import FrameReplayBuffer
from common.runlog import RunLog, interruptible, save_image
from envs.atari import game_over, make_atari


def build_q_network(obs_shape, num_actions):
    """The Nature network: bytes [B, stack, height, width] → q of every action, [B, A]."""
    frames = keras.Input(obs_shape, dtype="uint8")
    q = keras.layers.Dense(num_actions, name="q")(nature_cnn(frames))
    return keras.Model(frames, q, name="q_network")


def build_optimizer(name, learning_rate):
    """Adam as it is used now, or RMSProp with the text's momentum and epsilon."""
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return keras.optimizers.RMSprop(learning_rate, rho=0.9, momentum=0.95, epsilon=0.01)


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, A] → reward plus the discounted best of next_q, [B]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == best.shape
    return reward + discount * best


def clipped_loss(error):
    """Huber: mean of 0.5 e² where |e| < 1, of |e| - 0.5 beyond, so its slope is the error clipped to ±1. [B] → []."""
    size = tf.abs(error)
    quadratic = tf.minimum(size, 1.0)
    return tf.reduce_mean(0.5 * quadratic**2 + (size - quadratic))


def make_act(model):
    """Compiled: obs [N, ...] → the action with the highest q [N], and that q [N]."""

    @tf.function
    def act(obs):
        q = model(obs)  # [N, A]
        return tf.argmax(q, axis=-1), tf.reduce_max(q, axis=-1)

    return act


def make_update(model, target, optimizer):
    """Compiled: one gradient step on a batch → loss."""
    optimizer.build(model.trainable_variables)

    @tf.function(
        jit_compile=True
    )  # XLA fuses the optimizer into one pass; its convolutions on a CPU are slow, so only here
    def apply(gradients):
        optimizer.apply(gradients, model.trainable_variables)

    @tf.function
    def update(obs, action, reward, discount, next_obs):
        # (3) Target.
        y = td_target(reward, discount, target(next_obs))  # [B]
        # (4) Regress.
        with tf.GradientTape() as tape:
            q = tf.gather(model(obs), action, axis=1, batch_dims=1)  # [B, A] → [B]
            assert q.shape == y.shape
            loss = clipped_loss(y - q)
        apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return update


def epsilon_at(step, start, decay_steps, final):
    """Probability of a random action: 1 until `start`, then linearly down to `final` within `decay_steps`."""
    return float(np.interp(step, [start, start + decay_steps], [1.0, final]))


def due(step, interval, num_envs):
    """Multiples of `interval` among the last `num_envs` steps: `step % interval == 0`, where steps come in batches."""
    return step // interval - (step - num_envs) // interval


def evaluate(model, env_id, games, seed, epsilon=0.001, sticky_actions=0.0):
    """Scores of `games` whole games, each on an environment of its own, acting with the trained network; [games]."""
    worlds = make_atari(env_id, games, sticky_actions=sticky_actions, life_loss=False)
    act, rng = make_act(model), np.random.default_rng(seed)
    obs, _ = worlds.reset(seed=seed)
    scores, playing = np.zeros(games), np.ones(games, bool)
    while playing.any():
        action, _ = act(obs)
        explore = rng.random(games) < epsilon
        action = np.where(explore, rng.integers(worlds.single_action_space.n, size=games), action)
        obs, reward, terminated, truncated, info = worlds.step(action)
        scores += reward * playing
        playing &= ~game_over(terminated, truncated, info)
    worlds.close()
    return scores


def train(
    env_id: str = "ALE/Pong-v5",
    episodes: Count = 200,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    num_envs: Count = 8,
    sticky_actions: Fraction = 0.0,
    life_loss: bool = True,
    noop_max: Natural = 30,
    optimizer: Literal["adam", "rmsprop"] = "adam",
    learning_rate: Positive = 1e-4,
    buffer_size: Count = 100_000,
    learning_starts: Natural = 10_000,
    epsilon_final: Fraction = 0.01,
    epsilon_decay_steps: Count = 100_000,
    clip_rewards: bool = True,
    train_interval: Count = 4,
    batch_size: Count = 32,
    n_step: Count = 1,
    gamma: Fraction = 0.99,
    target_interval: Count = 250,
    save_interval: Count = 50_000,
    save_memory: bool = False,
    screenshots: bool = False,
    eval_episodes: Natural = 10,
    eval_epsilon: Fraction = 0.001,
) -> None:
    """Train a Deep Q-Network on an Atari game and save it as a Keras model.

    Args:
        env_id: an ALE game, ALE/<Game>-v5, or any environment that shows [stack, height, width] bytes.
        episodes: whole games to play, over all environments together.
        seed: of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/dqn_atari/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_envs: games played at once.
        sticky_actions: probability that the emulator repeats the last action; Nature 0, gymnasium's v5 ids 0.25.
        life_loss: learn that losing a life ends the value; games are played to their end all the same.
        noop_max: a game starts after 0 to noop_max - 1 idle frames.
        optimizer: adam or rmsprop.
        learning_rate: of the optimizer, per update.
        buffer_size: steps that the replay memory keeps.
        learning_starts: random steps before the first update.
        epsilon_final: probability of a random action after the decay.
        epsilon_decay_steps: steps from epsilon 1 to epsilon_final.
        clip_rewards: learn from the reward clipped to [-1, 1]; the score is never clipped.
        train_interval: steps per update.
        batch_size: transitions per update.
        n_step: rewards summed in the target before the bootstrap; 1 is the text's.
        gamma: discount per step.
        target_interval: updates between two copies into the target network.
        save_interval: steps between two checkpoints.
        save_memory: put the replay memory into the checkpoints, 7 KB a step.
        screenshots: save a picture of the last screen of every game.
        eval_episodes: games played with the trained network at the end; 0 for none.
        eval_epsilon: probability of a random action in those games.
    """
    arguments = locals()
    if batch_size > buffer_size:
        raise UsageError(f"--batch_size={batch_size} is larger than --buffer_size={buffer_size}")
    if learning_starts > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")

    # Set up.
    worlds = make_atari(env_id, num_envs, sticky_actions=sticky_actions, life_loss=life_loss, noop_max=noop_max)
    obs_shape, num_actions = worlds.single_observation_space.shape, int(worlds.single_action_space.n)
    if buffer_size < num_envs * (obs_shape[0] + n_step + 1):
        raise UsageError(f"--buffer_size={buffer_size} is too small for --num_envs={num_envs} and --n_step={n_step}")
    memory = FrameReplayBuffer(buffer_size, num_envs, obs_shape[1:], obs_shape[0], n_step, gamma)
    env_kwargs = {"sticky_actions": sticky_actions}
    log = RunLog("dqn_atari", arguments, columns=("epsilon", "mean_max_q", "mean_loss"), env_kwargs=env_kwargs)
    log.say(f"replay memory: {buffer_size:,} steps, {memory.nbytes / 1e9:.2f} GB when full")
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model, target = build_q_network(obs_shape, num_actions), build_q_network(obs_shape, num_actions)
    target.set_weights(model.get_weights())
    opt = build_optimizer(optimizer, learning_rate)
    act, update = make_act(model), make_update(model, target, opt)
    step = updates = 0

    # Every checkpoint holds all that the loop changes, except the games being played.
    identity = {"recipe": "dqn_atari", "env_id": env_id}
    tensors = {"model": model, "target": target, "optimizer": opt}

    def save():
        state = {"step": step, "updates": updates, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state, memory.state() if save_memory else None)
        log.save(model)

    if log.resumed:
        state, arrays = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, updates, rng.bit_generator.state = state["step"], state["updates"], state["rng"]
        if arrays:
            memory.load(arrays)
            memory.abandon_games()
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too

    obs, _ = worlds.reset(seed=(seed + step) % 2**30)
    ended = np.zeros(num_envs, bool)
    score, length, sum_q = np.zeros(num_envs), np.zeros(num_envs, int), np.zeros(num_envs)
    losses = []

    with log, interruptible() as interrupted:
        while log.episode < episodes and not interrupted():
            # (1) Act.
            epsilon = epsilon_at(step, learning_starts, epsilon_decay_steps, epsilon_final)
            greedy, max_q = act(obs)
            explore = rng.random(num_envs) < epsilon
            action = np.where(explore, rng.integers(num_actions, size=num_envs), greedy)
            next_obs, reward, terminated, truncated, info = worlds.step(action)
            playing, ended = ~ended, game_over(terminated, truncated, info)  # the step after an end only resets
            step += num_envs

            # (2) Remember.
            memory.add(obs, action, np.clip(reward, -1, 1) if clip_rewards else reward, terminated, ended)
            obs = next_obs

            # Learn from what is remembered.
            for _ in range(due(step, train_interval, num_envs) if memory.is_ready(learning_starts) else 0):
                loss = float(update(*memory.sample(batch_size, rng)))
                if not np.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss} at step {step}; the last good checkpoint is kept")
                losses.append(loss)
                updates += 1
                # (5) Copy.
                if updates % target_interval == 0:
                    target.set_weights(model.get_weights())

            # Report.
            score += reward
            length += playing
            sum_q += np.where(playing, max_q, 0)
            for i in np.flatnonzero(ended)[: episodes - log.episode]:
                means = {"mean_max_q": sum_q[i] / length[i], "mean_loss": np.mean(losses or [np.nan])}
                log.log_episode(step, score[i], length[i], epsilon=epsilon, **means)
                if screenshots:
                    save_image(next_obs[i, -1], log.dir / "screenshots" / f"game_{log.episode:05d}.png")
                score[i] = sum_q[i] = length[i] = 0
            if ended.any():
                losses.clear()
            if due(step, save_interval, num_envs):
                save()

        # Finish.
        save()
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    if eval_episodes:
        scores = evaluate(model, env_id, eval_episodes, (seed + 2**29) % 2**30, eval_epsilon, sticky_actions)
        log.save_evaluation(epsilon=eval_epsilon, scores=scores.tolist())
        print(f"{env_id}: {scores.mean():.2f} ± {scores.std():.2f}, {eval_episodes} games at epsilon {eval_epsilon}")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
