r"""Deep Q-Network: learn to play an Atari game from its pixels.

A convolutional network estimates q(s, a), the expected discounted sum of the rewards that follow an action. It learns
from steps drawn at random from a replay memory: the target is the reward plus the discounted best value of the next
state, which a slower copy of the network, the target network, estimates.

    (1) act: mostly the action with the highest q, with probability epsilon a random one
    (2) remember the step
    (3) target: y = r + gamma * max_a q_target(s', a), and y = r where the episode terminated or a life was lost; with
        --n_step=n, r is the discounted sum of n rewards, s' the state n steps later, and gamma becomes gamma^n
    (4) regress q(s, a) onto y with Huber's loss, whose slope is the error clipped to ±1
    (5) every `target_interval` updates, copy the network into the target network

Source: Richert, Coelho, Brucher, Building Machine Learning Systems with Python, chapter 13
(https://github.com/PacktPublishing/Building-Machine-Learning-Systems-with-Python-Third-edition), after Mnih et al.,
Nature 518:529 (https://doi.org/10.1038/nature14236).

Differs from the text in (book/dqn_atari.md):

                here                                     text
    update      on the state acted in                    on the next state: fits q(s', a) to the target of (s, a)
    score       the sum of the game's own rewards        the sum of the clipped rewards
    lives       a lost one ends the sum of rewards       only the end of the game does
    weights     start as He's                            start as Glorot's; with Adam many units die
    optimizer   Adam 1e-4, epsilon 1.5e-4 (or rmsprop)   RMSProp 2.5e-4, momentum 0.95, epsilon 0.01
    copy        every 250 updates (1,000 steps)          every 10,000 steps
    frames      84 x 84, maximum of two                  80 x 105, every second pixel
    start       0 to 29 idle frames, one may press FIRE  1 to 10 idle steps
    learning    starts after 10,000 random steps         starts after 20,000 random steps
    exploration 1 to 0.01 in 100,000 steps               1 to 0.1 in 1,000,000
    memory      100,000 steps, each frame once           400,000 steps, each frame four times

    python recipes/dqn_atari.py --env_id=ALE/Pong-v5 --episodes=380 --n_step=3 --learning_rate=2e-4 --train_interval=8 \
        --epsilon_decay_steps=150000 --eval_episodes=20

Seed 0 scores 19.95 ± 0.92 over 20 games at epsilon 0.001 after 694,424 steps, in 57 minutes on two cores of a Xeon at
2.5 GHz (book/results/dqn_atari_pong). It was run before --eval_interval existed, with Glorot's weights and Adam's own
epsilon. What other seeds score with today's stands in book/dqn_atari.md.

--resume does not bring back the games in progress: new ones start in their place. Without --save_memory the replay
memory is lost, too, and fills again before learning continues.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.losses import huber
from common.machine import dtype_of
from common.networks import nature_cnn
from common.plots import save_image
from common.replay import FrameReplayBuffer
from common.run import Run, due, finite
from envs.atari import atari_settings, make_atari

COLUMNS = ("epsilon", "mean_max_q", "mean_loss")  # of episodes.csv


def build_q_network(obs_shape, num_actions, dtype="float32"):
    """The Nature network: bytes [B, stack, height, width] → q of every action, [B, A] float32."""
    frames = keras.Input(obs_shape, dtype="uint8")
    q = keras.layers.Dense(num_actions, name="q")(nature_cnn(frames, dtype))
    return keras.Model(frames, q, name="q_network")


def build_optimizer(name, learning_rate):
    """Adam with Rainbow's epsilon, or RMSProp with the text's momentum and epsilon."""
    if name == "adam":
        return keras.optimizers.Adam(learning_rate, epsilon=1.5e-4)
    return keras.optimizers.RMSprop(learning_rate, rho=0.9, momentum=0.95, epsilon=0.01)


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, A] → reward plus the discounted best of next_q, [B]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == best.shape
    return reward + discount * best


def make_act(model):
    """Compiled: obs [N, ...] → the action with the highest q [N], and that q [N]."""

    @tf.function
    def act(obs):
        q = model(obs)  # [N, A]
        return tf.argmax(q, axis=-1), tf.reduce_max(q, axis=-1)

    return act


def make_update(model, target_model, optimizer):
    """Compiled: one gradient step on a batch → loss."""
    optimizer.build(model.trainable_variables)

    # XLA fuses the optimizer into one pass. Its convolutions are slow on a CPU, so nothing else is compiled with it.
    @tf.function(jit_compile=True)
    def apply(gradients):
        optimizer.apply(gradients, model.trainable_variables)

    @tf.function
    def update(obs, action, reward, discount, next_obs):
        # (3) Target.
        y = td_target(reward, discount, target_model(next_obs))  # [B]
        # (4) Regress.
        with tf.GradientTape() as tape:
            q = tf.gather(model(obs), action, axis=1, batch_dims=1)  # [B, A] → [B]
            assert q.shape == y.shape
            loss = tf.reduce_mean(huber(y - q))
        apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return update


def epsilon_at(step, start, decay_steps, final):
    """Probability of a random action: 1 until `start`, then linearly down to `final` within `decay_steps`."""
    return float(np.interp(step, [start, start + decay_steps], [1.0, final]))


@validated
def train(
    env_id: str = "ALE/Pong-v5",
    episodes: Count = 200,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    num_envs: Size = 8,
    sticky_actions: Probability = 0.0,
    life_loss: bool = True,
    noop_max: Natural = 30,
    precision: Literal["float32", "bfloat16"] = "float32",
    optimizer: Literal["adam", "rmsprop"] = "adam",
    learning_rate: Positive = 1e-4,
    buffer_size: Count = 100_000,
    learning_starts: Natural = 10_000,
    epsilon_final: Probability = 0.01,
    epsilon_decay_steps: Count = 100_000,
    clip_rewards: bool = True,
    train_interval: Count = 4,
    batch_size: Size = 32,
    n_step: Count = 1,
    gamma: Probability = 0.99,
    target_interval: Count = 250,
    eval_interval: Natural = 100_000,
    eval_episodes: Natural = 10,
    eval_epsilon: Probability = 0.001,
    save_interval: Count = 50_000,
    save_memory: bool = False,
    screenshots: bool = False,
) -> Path:
    """Train a Deep Q-Network on an Atari game and save it as a Keras model.

    Args:
        env_id: an ALE game, ALE/<Game>-v5, or an environment that shows stacks of frames, [stack, height, width] bytes.
        episodes: games of all environments together; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/dqn_atari/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games played side by side.
        sticky_actions: probability that the emulator repeats the last action; Nature has 0, gymnasium's v5 ids 0.25.
        life_loss: learn from a lost life as if the game had terminated; games still continue to their end.
        noop_max: a game starts after 0 to noop_max - 1 idle frames.
        precision: float32, or bfloat16 for the trunk's multiplications where the machine has instructions for them.
        optimizer: adam or rmsprop.
        learning_rate: learning rate of the optimizer.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: random steps before the first update.
        epsilon_final: probability of a random action after the decay.
        epsilon_decay_steps: steps from epsilon 1 to epsilon_final.
        clip_rewards: learn from the reward clipped to [-1, 1]; the score is never clipped.
        train_interval: steps per update.
        batch_size: transitions per update.
        n_step: rewards summed in the target before the bootstrap; 1 as in the text.
        gamma: discount factor per step.
        target_interval: updates between two copies into the target network.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: games per evaluation; 0 means no evaluation.
        eval_epsilon: probability of a random action in an evaluation.
        save_interval: steps between two saves.
        save_memory: save the replay memory, too; this takes 7 KB per step.
        screenshots: save a picture of the last screen of every game.
    """
    run = Run("dqn_atari", locals(), COLUMNS, atari_settings(env_id, sticky_actions, noop_max))
    for name, size in (("batch_size", batch_size), ("learning_starts", learning_starts)):
        if size > buffer_size:
            raise UsageError(f"--{name}={size} is larger than --buffer_size={buffer_size}")
    envs = make_atari(env_id, num_envs, run.env_kwargs, life_loss=life_loss)
    make_envs = partial(make_atari, env_id, env_kwargs=run.env_kwargs, life_loss=False)
    obs_shape, num_actions = envs.single_observation_space.shape, int(envs.single_action_space.n)
    if buffer_size < num_envs * (obs_shape[0] + n_step + 1):
        raise UsageError(f"--buffer_size={buffer_size} is too small for --num_envs={num_envs} and --n_step={n_step}")
    memory = FrameReplayBuffer(buffer_size, num_envs, obs_shape[1:], obs_shape[0], n_step, gamma)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    shape = obs_shape, num_actions, dtype_of(precision)
    model, target_model = (build_q_network(*shape) for _ in range(2))
    target_model.set_weights(model.get_weights())
    opt = build_optimizer(optimizer, learning_rate)
    act, update = make_act(model), make_update(model, target_model, opt)
    carried = {"model": model, "target_model": target_model, "optimizer": opt, "rng": rng}
    carried.update({"memory": memory} if save_memory else {})
    carry = run.begin(**carried, step=0, updates=0, loss=np.nan)  # without the games: an emulator's state is not saved
    print(f"replay memory: {buffer_size:,} steps, {memory.nbytes / 1e9:.2f} GB when full")
    run.abandon_games()
    memory.abandon_games()
    obs, _ = envs.reset(seed=int(rng.integers(2**30)))
    ended = np.zeros(num_envs, bool)

    with closing(envs), run:
        while run.episode < episodes and not run.interrupted:
            # (1) Act.
            epsilon = epsilon_at(carry.step, learning_starts, epsilon_decay_steps, epsilon_final)
            greedy, max_q = act(obs)
            explore = rng.random(num_envs) < epsilon
            action = np.where(explore, rng.integers(num_actions, size=num_envs), greedy)
            next_obs, reward, terminated, truncated, info = envs.step(action)
            playing, ended = ~ended, terminated | truncated  # the step after a game's end only resets
            carry.step += int(playing.sum())

            # (2) Remember.
            terminal = terminated | info["life_lost"] if life_loss else terminated  # no value beyond this step
            memory.add(obs, action, np.clip(reward, -1, 1) if clip_rewards else reward, terminal, ended)
            obs = next_obs

            # Learn from what is remembered.
            for _ in range(due(carry.step, train_interval, playing.sum()) if memory.is_ready(learning_starts) else 0):
                carry.loss = finite(update(*memory.sample(batch_size, rng)), carry.step)
                carry.updates += 1
                # (5) Copy.
                if carry.updates % target_interval == 0:
                    target_model.set_weights(model.get_weights())

            # Report.
            own = {"epsilon": epsilon, "mean_max_q": max_q, "mean_loss": carry.loss}
            run.log_steps(carry.step, reward, playing, ended, **own)
            for i, game in enumerate(np.flatnonzero(ended) if screenshots else ()):
                number = run.episode - ended.sum() + 1 + i
                save_image(obs[game, -1], run.dir / "screenshots" / f"game_{number:05d}.png")
            run.evaluate_every(eval_interval, make_envs, eval_episodes, eval_epsilon)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes, eval_epsilon)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
