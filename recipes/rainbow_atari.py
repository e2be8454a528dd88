r"""Rainbow: six improvements of the Deep Q-Network in one agent, each with a flag that leaves it out.

The network estimates for every action not one value but a distribution over 51 of them. It explores with noise in its
weights, and it learns most often from the steps that it predicts worst.

    (1) act: draw noise for the weights of the head, for each game another one, then take the action with the highest q
        (--noisy=false: with probability epsilon a random one)
    (2) remember the step, with the largest priority so far
    (3) draw a batch in proportion to the priorities, P(i) = p_i / sum_k p_k, and weigh each row with
        w_i = (N P(i))^-beta, divided by the largest of the batch (--prioritized=false: all priorities are 1)
    (4) target: the distribution of R + gamma^n z in s', the state n steps later, with R the discounted sum of n rewards
        (--n_step=1: one) and z distributed as the target network says for the action that the network prefers there
        (--double=false: that the target network prefers); where the episode terminated or a life was lost it is R alone
    (5) minimize w times the Kullback-Leibler divergence of that target from the prediction for (s, a)
        (--distributional=false: Huber's loss between means, as in DQN)
    (6) the new priority of a row is its loss to the power of 1/2
    (7) every `target_interval` updates, copy the network into the target network

The head of the network is dueling: a value and one advantage per action (--dueling=false: one number per action).

Source: Hessel et al., Rainbow: Combining Improvements in Deep Reinforcement Learning (https://arxiv.org/abs/1710.02298).

Differs from the text in (book/rainbow_atari.md):

                here                                      text
    noise       in the head; the same for V and A         in all dense layers, V and A apart
    mu          starts at 0                               starts uniform, up to 1 / sqrt(inputs) from 0
    streams     share their hidden layer of 512           a hidden layer of 512 each
    beta        0.4 to 1 in 1,000,000 steps               0.4 to 1 in 50,000,000
    optimizer   Adam 1e-4, epsilon 1e-7                   Adam 6.25e-5, epsilon 1.5e-4
    copy        every 250 updates (1,000 steps)           every 8,000 steps
    memory      100,000 steps                             1,000,000 steps
    learning    starts after 10,000 steps                 starts after 20,000 steps
    start       0 to 29 idle frames, one may press FIRE   0 to 30 idle frames

The last four are as in recipes/dqn_atari.py, so that `diff recipes/dqn_atari.py recipes/rainbow_atari.py` shows the six
improvements and Adam's epsilon, which is 1.5e-4 there.

    python recipes/rainbow_atari.py --episodes=300 --v_max=5 --sigma=0.1 --precision=bfloat16 --eval_episodes=100

2 seeds of Pong, 100 games each: median 19.08, lowest 18.03; 89 minutes of training on one core of an Intel(R) Xeon(R)
Processor. In training, with noise in the head, 20 games in a row averaged 18 on 1 of 2 seeds, after 60 minutes
(book/results/rainbow_atari/pong.json)

DQN with three-step rewards and half as many updates per step scored 18.44 on its one seed, and in training no 20 of its
games in a row averaged 18 (book/results/dqn_atari/pong.json). On the image probe all three seeds of Rainbow average 3.9
of 4 after 448 to 512 steps, and score 4 at the end (benchmarks/rainbow_ablation.py).

--resume does not bring back the games in progress: new ones start in their place. Without --save_memory the replay
memory is lost, too, and fills again before learning continues.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Range, Seed, Size, UsageError, strict, validated
from common.lazy import keras, tf
from common.losses import huber
from common.machine import dtype_of
from common.networks import nature_cnn
from common.plots import save_image
from common.replay import PrioritizedFrameReplayBuffer
from common.run import Run, due, finite
from envs.atari import atari_settings, make_atari

COLUMNS = ("epsilon", "mean_max_q", "mean_loss")  # of episodes.csv
Atoms = Annotated[int, Range(2, 201)]  # two have a distance; the projection compares each with each
Limit = Annotated[float, Range(1e-3, 1e6)]


def build_q_network(obs_shape, num_actions, support=None, dueling=True, sigma=0.0, dtype="float32"):
    """The Nature network with Rainbow's head, of plain layers.

    Args:
        obs_shape: (stack, height, width).
        num_actions: A.
        support: [K] the returns z whose probabilities the network gives; None for one value per action, K = 1.
        dueling: whether the head has a value besides the advantages.
        sigma: deviation of a weight's noise at the start, times the square root of 512; 0 for a head without noise.
        dtype: of the trunk's layers.

    Returns:
        keras.Model: bytes [B, stack, height, width] → q [B, A], logits [B, A, K] (for K = 1 these are q), and with
        noise the output of the layer that holds the sigmas; only its weights are of use.
    """
    atoms = 1 if support is None else len(support)
    frames = keras.Input(obs_shape, dtype="uint8")
    features = nature_cnn(frames, dtype)  # [B, 512]
    units = (num_actions + dueling) * atoms
    start = "zeros" if sigma else "glorot_uniform"  # from zeros, noise alone decides what is done at first
    head = keras.layers.Dense(units, kernel_initializer=start, name="head")(features)
    logits = keras.layers.Reshape((num_actions + dueling, atoms))(head)
    if dueling:
        value = keras.layers.Cropping1D((0, num_actions))(logits)  # [B, 1, K]
        advantage = keras.layers.Cropping1D((1, 0))(logits)  # [B, A, K]
        mean = keras.layers.GlobalAveragePooling1D(keepdims=True)(advantage)  # [B, 1, K]
        logits = keras.layers.Add()([value, keras.layers.Subtract()([advantage, mean])])  # [B, A, K]
    q = logits
    if support is not None:
        mean_of = keras.layers.Dense(1, use_bias=False, trainable=False, name="support")  # sum_k z_k p_k
        q = mean_of(keras.layers.Softmax()(logits))  # [B, A, 1]
        mean_of.set_weights([np.reshape(support, (atoms, 1))])
    outputs = [keras.layers.Reshape((num_actions,), name="q")(q), logits]
    if sigma:
        start = keras.initializers.Constant(sigma * features.shape[-1] ** -0.5)
        outputs.append(
            keras.layers.Dense(units, kernel_initializer=start, bias_initializer=start, name="sigma")(features)
        )
    return keras.Model(frames, outputs, name="q_network")


def build_optimizer(name, learning_rate):
    """Adam with a small epsilon, since slopes of probabilities are small; or RMSProp as in recipes/dqn_atari.py."""
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return keras.optimizers.RMSprop(learning_rate, rho=0.9, momentum=0.95, epsilon=0.01)


def scaled(noise):
    """f(x) = sign(x) sqrt|x|, of factorised noise; [...] → [...]."""
    return np.sign(noise) * np.sqrt(np.abs(noise))


def draw_noise(model, rng, count):
    """Factorised noise for the head, `count` draws; [count, inputs + units], or [count, 0] for a head without."""
    size = sum(model.get_layer("sigma").kernel.shape) if len(model.outputs) == 3 else 0
    return scaled(rng.standard_normal((count, size), np.float32))


def forward(model, obs, noise):
    """The network with noise in the weights of its head, w_ij = mu_ij + sigma_ij * noise_i * noise_j.

    Args:
        model: from `build_q_network`.
        obs: [B, stack, height, width].
        noise: of `draw_noise`, of the inputs of the head and of its outputs: one draw [512 + units], or one for each
            row [B, 512 + units].

    Returns:
        (q [B, A], logits [B, A, K])
    """
    if noise.shape[-1] == 0:
        return model(obs)[:2]
    mu, sigma = model.get_layer("head"), model.get_layer("sigma")
    of_input, of_output = tf.split(noise, sigma.kernel.shape, axis=-1)  # [512], [units]
    features = tf.cast(keras.Model(model.input, mu.input)(obs), tf.float32)  # [B, 512]
    head = mu(features) + sigma(features * of_input) * of_output  # sum_i w_ij x_i, [B, units]
    return keras.Model(mu.output, model.outputs[:2])(head)


def importance_weights(probability, beta):
    """(N P)^-beta divided by its maximum, which makes N cancel; [B] → [B] float32."""
    return ((probability / probability.min()) ** -beta).astype(np.float32)


def td_target(reward, discount, next_q, best):
    """reward, discount (0 where terminated), best [B], next_q [B, A] → reward + discount * next_q of best, [B]."""
    chosen = tf.gather(next_q, best, axis=1, batch_dims=1)  # [B]
    assert reward.shape == discount.shape == chosen.shape
    return reward + discount * chosen


def projected(reward, discount, next_p, support):
    """The distribution of reward + discount * z, each atom z shared by its two neighbours on the support.

    Args:
        reward, discount: [B]; the discount is 0 where terminated.
        next_p: [B, K], probabilities of z.
        support: [K], evenly spaced.

    Returns:
        [B, K], probabilities.
    """
    assert reward.shape == discount.shape == next_p.shape[:1]
    moved = reward[:, None] + discount[:, None] * support  # [B, K]
    moved = tf.clip_by_value(moved, support[0], support[-1])
    distance = tf.abs(moved[:, None, :] - support[:, None]) / (support[1] - support[0])  # [B, K atoms, K moved]
    return tf.reduce_sum(tf.maximum(1 - distance, 0) * next_p[:, None, :], axis=-1)  # [B, K]


def divergence(target_p, logits):
    """Kullback-Leibler divergence sum_k m_k log(m_k / p_k), of m = target_p [B, K] from p = softmax(logits) → [B]."""
    assert target_p.shape == logits.shape
    return tf.reduce_sum(tf.math.xlogy(target_p, target_p) - target_p * tf.nn.log_softmax(logits), axis=-1)


def make_act(model):
    """Compiled: obs [N, ...], a draw of noise for each → the action with the highest q [N], and that q [N]."""

    @tf.function
    def act(obs, noise):
        q, _ = forward(model, obs, noise)  # [N, A]
        return tf.argmax(q, axis=-1), tf.reduce_max(q, axis=-1)

    return act


def make_update(model, target_model, optimizer, support=None, double=True):
    """Compiled: a gradient step on a batch, with weights [B] and three draws of noise → loss, loss of each row [B]."""
    optimizer.build(model.trainable_variables)

    # XLA fuses the optimizer into one pass. Its convolutions are slow on a CPU, so nothing else is compiled with it.
    @tf.function(jit_compile=True)
    def apply(gradients):
        optimizer.apply(gradients, model.trainable_variables)

    @tf.function
    def update(obs, action, reward, discount, next_obs, weight, noise):
        # (4) Target.
        next_q, next_logits = forward(target_model, next_obs, noise[0])  # [B, A], [B, A, K]
        best = tf.argmax(forward(model, next_obs, noise[1])[0] if double else next_q, axis=-1)  # [B]
        if support is None:
            y = td_target(reward, discount, next_q, best)  # [B]
        else:
            next_p = tf.nn.softmax(tf.gather(next_logits, best, axis=1, batch_dims=1))  # [B, A, K] → [B, K]
            y = projected(reward, discount, next_p, support)  # [B, K]
        # (5) Minimize.
        with tf.GradientTape() as tape:
            q, logits = forward(model, obs, noise[2])  # [B, A], [B, A, K]
            predicted = tf.gather(q if support is None else logits, action, axis=1, batch_dims=1)  # [B] or [B, K]
            assert predicted.shape == y.shape
            losses = huber(y - predicted) if support is None else divergence(y, predicted)  # [B]
            assert losses.shape == weight.shape
            loss = tf.reduce_mean(weight * losses)
        apply(tape.gradient(loss, model.trainable_variables))
        return loss, losses

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
    double: bool = True,
    dueling: bool = True,
    prioritized: bool = True,
    distributional: bool = True,
    noisy: bool = True,
    atoms: Atoms = 51,
    v_max: Limit = 10.0,
    sigma: Positive = 0.5,
    precision: Literal["float32", "bfloat16"] = "float32",
    optimizer: Literal["adam", "rmsprop"] = "adam",
    learning_rate: Positive = 1e-4,
    buffer_size: Count = 100_000,
    learning_starts: Natural = 10_000,
    priority_exponent: Probability = 0.5,
    beta_start: Probability = 0.4,
    beta_steps: Count = 1_000_000,
    epsilon_final: Probability = 0.01,
    epsilon_decay_steps: Count = 100_000,
    clip_rewards: bool = True,
    train_interval: Count = 4,
    batch_size: Size = 32,
    n_step: Count = 3,
    gamma: Probability = 0.99,
    target_interval: Count = 250,
    eval_interval: Natural = 100_000,
    eval_episodes: Natural = 10,
    eval_epsilon: Probability = 0.001,
    save_interval: Count = 50_000,
    save_memory: bool = False,
    screenshots: bool = False,
) -> Path:
    """Train Rainbow on an Atari game and save its network as a Keras model.

    Args:
        env_id: an ALE game, ALE/<Game>-v5, or an environment that shows stacks of frames, [stack, height, width] bytes.
        episodes: games of all environments together; games that end in the same step as the last one count, too.
        seed: random seed of the network, the environments, exploration and sampling.
        logdir: folder of the run; runs/rainbow_atari/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games played side by side.
        sticky_actions: probability that the emulator repeats the last action; Nature has 0, gymnasium's v5 ids 0.25.
        life_loss: learn from a lost life as if the game had terminated; games still continue to their end.
        noop_max: a game starts after 0 to noop_max - 1 idle frames.
        double: let the network choose the action of the target, and the target network value it.
        dueling: build q of a value and one advantage per action.
        prioritized: draw steps by the loss that they had, and not uniformly.
        distributional: learn the distribution of the return, and not its mean.
        noisy: explore with noise in the weights of the head, and not with epsilon.
        atoms: returns whose probabilities the network gives, if distributional.
        v_max: the largest of these returns; the smallest is -v_max.
        sigma: deviation of a weight's noise at the start, times the square root of 512, the inputs of the head.
        precision: float32, or bfloat16 for the trunk's multiplications where the machine has instructions for them.
        optimizer: adam or rmsprop.
        learning_rate: learning rate of the optimizer.
        buffer_size: capacity of the replay memory, in steps.
        learning_starts: steps before the first update; they are random, or those of the untrained noisy network.
        priority_exponent: a priority is the loss to this power.
        beta_start: exponent of the importance weights at the start.
        beta_steps: steps until this exponent is 1.
        epsilon_final: probability of a random action after the decay, if not noisy.
        epsilon_decay_steps: steps from epsilon 1 to epsilon_final.
        clip_rewards: learn from the reward clipped to [-1, 1]; the score is never clipped.
        train_interval: steps per update.
        batch_size: transitions per update.
        n_step: rewards summed in the target before the bootstrap; 1 leaves this part out.
        gamma: discount factor per step.
        target_interval: updates between two copies into the target network.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: games per evaluation; 0 means no evaluation.
        eval_epsilon: probability of a random action in an evaluation.
        save_interval: steps between two saves.
        save_memory: save the replay memory, too; this takes 7 KB per step.
        screenshots: save a picture of the last screen of every game.
    """
    run = Run("rainbow_atari", locals(), COLUMNS, atari_settings(env_id, sticky_actions, noop_max))
    for name, size in (("batch_size", batch_size), ("learning_starts", learning_starts)):
        if size > buffer_size:
            raise UsageError(f"--{name}={size} is larger than --buffer_size={buffer_size}")
    envs = make_atari(env_id, num_envs, run.env_kwargs, life_loss=life_loss)
    make_envs = partial(make_atari, env_id, env_kwargs=run.env_kwargs, life_loss=False)
    obs_shape, num_actions = envs.single_observation_space.shape, int(envs.single_action_space.n)
    if buffer_size < num_envs * (obs_shape[0] + n_step + 1):
        raise UsageError(f"--buffer_size={buffer_size} is too small for --num_envs={num_envs} and --n_step={n_step}")
    memory = PrioritizedFrameReplayBuffer(buffer_size, num_envs, obs_shape[1:], obs_shape[0], n_step, gamma)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    support = np.linspace(-v_max, v_max, atoms, dtype=np.float32) if distributional else None
    shape = obs_shape, num_actions, support, dueling, noisy * sigma, dtype_of(precision)
    model, target_model = (build_q_network(*shape) for _ in range(2))
    target_model.set_weights(model.get_weights())
    opt = build_optimizer(optimizer, learning_rate)
    act, update = make_act(model), make_update(model, target_model, opt, support, double)
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
            epsilon = 0.0 if noisy else epsilon_at(carry.step, learning_starts, epsilon_decay_steps, epsilon_final)
            greedy, max_q = act(obs, draw_noise(model, rng, num_envs))
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
                # (3) Draw.
                batch, rows, probability = memory.sample(batch_size, rng)
                weight = importance_weights(probability, np.interp(carry.step, [0, beta_steps], [beta_start, 1]))
                loss, losses = update(*batch, weight, draw_noise(model, rng, 3))
                carry.loss = finite(loss, carry.step)
                carry.updates += 1
                # (6) Prioritize. A loss of 0 must not forget its row, nor one just below it by rounding.
                exponent = priority_exponent if prioritized else 0
                memory.set_priorities(rows, np.maximum(losses, 1e-6) ** exponent)
                # (7) Copy.
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
