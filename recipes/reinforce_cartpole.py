r"""REINFORCE: balance a pole by making actions with an above-average return more probable.

A small network gives each action a probability. It plays several games while its weights stay the same. After that,
actions followed by an above-average return become more probable, the others less probable. Then the games are thrown
away.

    (1) play `num_envs` whole games, every action sampled with its probability pi(action | obs)
    (2) return of each step: G_t = r_t + gamma * G_(t+1)
    (3) advantage: the returns minus their mean, divided by their standard deviation, over all games together
    (4) ascend the gradient of the mean of advantage * log pi(action | obs)

Source: a reader's notes on Géron, Hands-On Machine Learning, chapter 18 (https://github.com/ageron/handson-ml2), after
Williams, Machine Learning 8:229 (https://doi.org/10.1007/BF00992696). The first two differences are the notes' alone.

Differs from the text in (book/reinforce_cartpole.md):

                here                                     text
    returns     of the rewards in their own order        of the rewards shifted by three steps, followed by the
                                                         first two and once more the last
    advantage   standardised over all games together     standardised per game: good and bad games look alike
    gradient    one per update, of the weighted mean     one per step, weighted and averaged afterwards
    games       16 per update, up to 500 steps           5 per update, up to 200 steps
    gamma       0.99                                     0.95
    network     128 hidden units, a logit per action     16 hidden units, the probability of pushing left

What one thing of the text at a time does:

    as in the text  games until the last 100 average 475, median of five seeds
    nothing         480
    advantage       560
    games           225, one group of five after the other
    gamma           1,040
    network         1,184
    all four        1,605, with the 5 hidden units of the chapter

    python recipes/reinforce_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (436.64 to 500); 29 of 30 at 475 or more
    games                            496 (400 to 624)
    steps                            123,000 (86,362 to 162,732)
    training                         6.88 (4.609 to 8.716) s
    whole process                    12.25 (9.73 to 14.54) s

A truncated game is treated as if no reward came after it: without a critic there is no estimate of that reward.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Natural, Positive, Probability, Seed, Size, strict, validated
from common.lazy import keras, tf
from common.networks import mlp
from common.run import Run, finite
from envs.checked import make_vec


def build_policy(obs_size, num_actions, hidden_units):
    """Observations [B, D] → logits of every action, [B, A]."""
    obs = keras.Input((obs_size,))
    hidden = mlp(obs, (hidden_units,), activation="elu")
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


def make_act(model):
    """Compiled: obs [N, D] → logits [N, A]."""
    return tf.function(lambda obs: model(obs))


def make_update(model, optimizer):
    """Compiled: one gradient step on N games, obs [T, N, D], action [T, N], advantage [B], playing [T, N] → loss."""
    optimizer.build(model.trainable_variables)
    obs, steps = tf.TensorSpec([None, *model.input_shape]), partial(tf.TensorSpec, [None, None])

    # The length T of the games varies, so it is left open, and one trace serves all.
    @tf.function(input_signature=[obs, steps(tf.int64), tf.TensorSpec([None]), steps(tf.bool)])
    def update(obs, action, advantage, playing):
        with tf.GradientTape() as tape:
            loss = policy_gradient_loss(model(obs[playing]), action[playing], advantage)
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
        logdir: folder of the run; runs/reinforce_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games per update, played side by side.
        hidden_units: width of the hidden layer.
        learning_rate: learning rate of Adam.
        gamma: discount factor per step.
        solved_at: training ends when the mean return of the last 100 games reaches this value.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("reinforce_cartpole", locals(), columns=("loss",))
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = make_envs(num_envs)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_policy(envs.single_observation_space.shape[0], int(envs.single_action_space.n), hidden_units)
    optimizer = keras.optimizers.Adam(learning_rate)
    act, update = make_act(model), make_update(model, optimizer)
    carry = run.begin(model=model, optimizer=optimizer, rng=rng, step=0)  # between two updates no game is in progress

    with closing(envs), run:
        while run.episode < episodes and run.mean_of_last(100) < solved_at and not run.interrupted:
            # (1) Play.
            obs, action, reward, playing = play(envs, act, rng)

            # (2) Returns.
            returns = discounted_returns(reward, gamma)

            # (3) Advantage.
            advantage = standardize(returns[playing])

            # (4) Ascend.
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
