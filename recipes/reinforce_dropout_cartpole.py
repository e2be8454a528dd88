r"""REINFORCE with dropout: dropout samples a new sub-network at each step, in acting and in learning.

Dropout silences a random part of the hidden units at each step. The gradient must be that of the sub-network that
acted, so the update silences the same units again.

    (1) play `num_envs` whole games with dropout, every action sampled with its probability pi(action | obs)
    (2) return of each step: G_t = r_t + gamma * G_(t+1)
    (3) advantage: the returns minus their mean, divided by their standard deviation, over all games together
    (4) sample the same masks again and ascend the gradient of the mean of advantage * log pi(action | obs)

Source: Neuromatch Academy, W3D4 bonus tutorial, section 3.1
(https://deeplearning.neuromatch.io/tutorials/W3D4_BasicReinforcementLearning/chapter_title.html), after Williams,
Machine Learning 8:229 (https://doi.org/10.1007/BF00992696), and Srivastava et al., JMLR 15:1929
(https://jmlr.org/papers/v15/srivastava14a.html).

Differs from the text in (book/reinforce_dropout_cartpole.md):

                here                                     text
    advantage   standardised over all games together     standardised per game: good and bad games look alike
    games       16 per update, up to 500 steps           1 per update; it asks for 1,000 steps and gets 500
    loss        averaged over all steps                  summed over the steps of the game
    gradient    not clipped                              each entry clipped to ±1
    activation  ELU, then dropout                        dropout, then ReLU
    evaluation  without dropout, most probable action    none
    solved      mean return of the last 100 games        running mean of length - 1, which starts at 10

What one thing of the text at a time does:

    as in the text  games until the last 100 average 475, median of five seeds
    nothing         544; without dropout 480 (reinforce_cartpole.py)
    advantage       640
    gradient        544

    python recipes/reinforce_dropout_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (491.38 to 500); 30 of 30 at 475 or more
    games                            512 (432 to 704)
    steps                            119,018 (99,366 to 182,492)
    training                         9.5 (7.649 to 14.48) s
    whole process                    14.7 (12.79 to 19.58) s

`diff recipes/reinforce_cartpole.py recipes/reinforce_dropout_cartpole.py` shows what dropout changes. A truncated game
is treated as if no reward came after it: without a critic there is no estimate of that reward.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Share, Size, strict, validated
from common.lazy import keras, tf
from common.networks import mlp
from common.run import Run, finite
from envs.checked import make_vec


def build_policy(obs_size, num_actions, hidden_units, dropout):
    """Observations [B, D] → logits of every action, [B, A]; with training=True some hidden units are silent."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units,), activation="elu")
    hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(obs, keras.layers.Dense(num_actions, name="logits")(hidden), name="policy")


def discounted_returns(reward, gamma):
    """Rewards [T, ...] with time along the first axis → the discounted sum from each step on, [T, ...]."""
    returns = np.zeros_like(reward)
    following = np.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        following = returns[t] = reward[t] + gamma * following
    return returns


def standardize(values):
    """Subtract the mean and divide by the population deviation; [B] → [B]."""
    return (values - values.mean()) / (values.std() + 1e-8)


def policy_gradient_loss(logits, action, advantage):
    """Minus the mean of advantage * log pi(action): logits [B, A], action [B], advantage [B] → []."""
    log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(action, logits)  # [B]
    assert log_prob.shape == advantage.shape
    return -tf.reduce_mean(advantage * log_prob)


def seed_masks(model, mask_seed):
    """Set the state of the dropout layer's generator to `mask_seed` [2]; with a dropout of 0 there is none."""
    for state in model.non_trainable_variables:
        state.assign(mask_seed)


def make_act(model):
    """Compiled: obs [N, D] → logits [N, A] of a sub-network, which each call samples anew."""
    return tf.function(lambda obs: model(obs, training=True))


def make_update(model, optimizer):
    """Compiled: one gradient step on N games, obs [T, N, D], action [T, N], advantage [B], playing [T, N] → loss."""
    optimizer.build(model.trainable_variables)
    obs, steps = tf.TensorSpec([None, *model.input_shape]), partial(tf.TensorSpec, [None, None])

    # The length T of the games varies, so it is left open, and one trace serves all.
    @tf.function(input_signature=[obs, steps(tf.int64), tf.TensorSpec([None]), steps(tf.bool)])
    def update(obs, action, advantage, playing):
        with tf.GradientTape() as tape:
            # One step after the other, in the order of play, so that the same masks are sampled.
            logits = tf.map_fn(lambda obs: model(obs, training=True), obs, parallel_iterations=1)  # [T, N, A]
            loss = policy_gradient_loss(logits[playing], action[playing], advantage)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    return update


def play(envs, act, rng):
    """Play one whole game in each of N environments; every action is sampled with its probability.

    Returns:
        obs [T, N, D], action [T, N], reward [T, N], playing [T, N], which is false after the end of a game.
    """
    obs, _ = envs.reset(seed=int(rng.integers(2**31)))
    playing = np.ones(envs.num_envs, bool)
    steps = []
    while playing.any():
        logits = act(obs).numpy()
        action = (logits + rng.gumbel(size=logits.shape)).argmax(-1)  # a sample from softmax(logits), Gumbel 1954
        next_obs, reward, terminated, truncated, _ = envs.step(action)
        steps.append((obs, action, (reward * playing).astype(np.float32), playing))
        obs, playing = next_obs, playing & ~(terminated | truncated)
    return [np.stack(column) for column in zip(*steps, strict=True)]


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 3_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    num_envs: Size = 16,
    hidden_units: Size = 128,
    dropout: Share = 0.6,
    learning_rate: Positive = 0.01,
    gamma: Probability = 0.99,
    solved_at: float = 475.0,
    eval_interval: Natural = 100_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Train a policy with REINFORCE until it balances the pole, and save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games, rounded up to whole updates.
        seed: random seed of the network, the environments and the actions.
        logdir: folder of the run; runs/reinforce_dropout_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games per update, played side by side.
        hidden_units: width of the hidden layer.
        dropout: probability that a hidden unit is silent.
        learning_rate: learning rate of Adam.
        gamma: discount factor per step.
        solved_at: training ends when the mean return of the last 100 games reaches this value.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("reinforce_dropout_cartpole", locals(), columns=("loss",))
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = make_envs(num_envs)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_policy(envs.single_observation_space.shape[0], int(envs.single_action_space.n), hidden_units, dropout)
    optimizer = keras.optimizers.Adam(learning_rate)
    act, update = make_act(model), make_update(model, optimizer)
    carry = run.begin(model=model, optimizer=optimizer, rng=rng, step=0)  # between two updates no game is in progress

    with closing(envs), run:
        while run.episode < episodes and run.mean_of_last(100) < solved_at and not run.interrupted:
            # (1) Play.
            mask_seed = rng.integers(2**31, size=2)
            seed_masks(model, mask_seed)
            obs, action, reward, playing = play(envs, act, rng)

            # (2) Returns.
            returns = discounted_returns(reward, gamma)

            # (3) Advantage.
            advantage = standardize(returns[playing])

            # (4) Ascend.
            seed_masks(model, mask_seed)
            loss = finite(update(obs, action, advantage, playing), carry.step)

            # Report.
            carry.step = run.log_games(carry.step, reward.sum(0), playing.sum(0), loss=loss)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
