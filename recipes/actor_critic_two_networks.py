r"""Actor-critic with two networks: the actor and the critic share nothing.

The actor chooses actions. The critic predicts the return, the discounted sum of the rewards that follow. The
advantage of an action is its return minus that prediction. The two have separate networks, so neither disturbs the
other.

    (1) play: `num_envs` games to their end, each action sampled from the actor's probabilities; `tf.numpy_function`
        calls the environments, so the loop over the steps is part of the graph
    (2) returns: G_t = r_t + gamma * G_(t+1); after the last step, G is the critic's value of the last observation if
        the game was truncated, and 0 if it terminated
    (3) losses: the actor's is -log pi(a_t) * (G_t - v_t), where the difference is standardised and treated
        as a constant, minus `entropy_weight` * entropy(pi), which keeps the actor exploring; the critic's is
        Huber(G_t - v_t); both are averaged over all steps
    (4) update: one step of Adam for both networks; training ends when the mean of the last 100 games reaches
        `solved_at`

Source: Neuromatch Academy, W3D4 bonus tutorial, section 3.2
(https://deeplearning.neuromatch.io/tutorials/W3D4_BasicReinforcementLearning/chapter_title.html).

Differs from the text in (book/actor_critic_two_networks.md):

                here                                     text
    critic      learns from its loss                     never learns: its values are detached from the graph
    entropy     averaged, subtracted from the loss       summed over all games, added to the loss, no gradient
    terminated  no reward follows                        bootstrapped from the observation of the fallen pole
    game        at most 500 steps                        at most 300 steps, so an average of 475 is impossible
    solved      when 100 games average 475               not tested; averages over 10 games are printed
    update      after 32 games, played side by side      after each game
    rewards     times 0.01                               not scaled
    advantage   standardised over all steps              not standardised
    critic loss Huber                                    half the squared error
    width       128 hidden units                         256 hidden units
    Adam        learning rate 0.01                       0.01 declared, 0.001 used

What one thing of the text at a time does:

    as in the text  games until the last 100 average 475, mean of five seeds
    nothing         800
    critic          915
    entropy         819
    terminated      never: it ends at games of 9 steps
    game            never
    rewards         902

    python recipes/actor_critic_two_networks.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  500 (489.68 to 500); 30 of 30 at 475 or more
    games                            800 (672 to 928)
    steps                            172,060 (133,126 to 205,126)
    training                         4.185 (2.941 to 5.089) s
    whole process                    9.585 (8.17 to 10.99) s

`diff recipes/actor_critic_cartpole.py recipes/actor_critic_two_networks.py` shows what two networks change, and the
entropy bonus. The saved model contains both: `model.get_layer("actor")` and `model.get_layer("critic")`.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fire
import numpy as np

from common.cli import Count, Natural, NonNegative, Positive, Probability, Seed, Size, strict, validated
from common.graph import make_env_step
from common.lazy import keras, tf
from common.losses import huber
from common.run import Run, finite
from envs.checked import make_vec


class Games(NamedTuple):
    """N games side by side; T is the length of the longest. After the end of a shorter game `playing` is false."""

    obs: tf.Tensor  # [T, N, D]
    action: tf.Tensor  # [T, N]
    reward: tf.Tensor  # [T, N]
    playing: tf.Tensor  # [T, N] bool
    last_obs: tf.Tensor  # [N, D], observed after the last action of each game
    terminated: tf.Tensor  # [N] bool, false where the game was truncated


def build_actor_critic(obs_space, num_actions, hidden_units):
    """Two networks of one hidden layer that share nothing: obs [B, D] → logits [B, A], value [B, 1]."""
    obs = keras.Input(obs_space.shape, dtype=obs_space.dtype.name)

    def network(num_outputs, name):
        hidden = keras.layers.Dense(hidden_units, activation="relu", name="hidden")(obs)
        return keras.Model(obs, keras.layers.Dense(num_outputs)(hidden), name=name)

    actor, critic = network(num_actions, "actor"), network(1, "critic")
    return keras.Model(obs, [actor(obs), critic(obs)], name="actor_critic")


def run_episodes(model, env_step, obs, seed):
    """Play from obs [N, D] until every game has ended → Games; `seed`, an integer, is that of the sampled actions."""
    playing = tf.ones(len(obs), tf.bool)  # [N]
    terminated, last_obs, t = tf.zeros_like(playing), obs, 0
    observations = tf.TensorArray(obs.dtype, 0, dynamic_size=True, element_shape=obs.shape)
    actions = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=playing.shape)
    rewards = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=playing.shape)
    masks = tf.TensorArray(tf.bool, 0, dynamic_size=True, element_shape=playing.shape)
    while tf.reduce_any(playing):
        logits, _ = model(obs)  # [N, A]
        action = tf.random.stateless_categorical(logits, 1, [seed, t])[:, 0]  # [N]
        action = tf.minimum(action, logits.shape[-1] - 1)  # NaN logits sample an invalid action; the loss shows NaN
        observations, actions, masks = observations.write(t, obs), actions.write(t, action), masks.write(t, playing)
        obs, reward, terminates, truncates = env_step(action)
        rewards = rewards.write(t, reward)
        last_obs = tf.where(playing[:, None], obs, last_obs)
        terminated |= playing & terminates
        playing &= ~(terminates | truncates)
        t += 1
    return Games(observations.stack(), actions.stack(), rewards.stack(), masks.stack(), last_obs, terminated)


def get_expected_return(reward, playing, tail, gamma):
    """Discounted sums to the end of each game: reward [T, N], playing [T, N], tail [N] → [T, N].

    `tail` is the value after the last step of each game.
    """
    assert reward.shape == playing.shape and reward.shape[1:] == tail.shape

    def backwards(discounted_sum, step):
        reward, playing = step
        return tf.where(playing, reward + gamma * discounted_sum, discounted_sum)  # [N]

    return tf.scan(backwards, (reward, playing), tail, reverse=True)


def standardize(x):
    """Mean 0, deviation 1: [S] → [S]."""
    return (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + np.finfo(np.float32).eps)


def compute_loss(logits, values, actions, returns, entropy_weight):
    """logits [S, A], values [S], actions [S], returns [S] → the actor's loss and the critic's, both []."""
    action_log_probs = -tf.nn.sparse_softmax_cross_entropy_with_logits(actions, logits)  # [S]
    advantage = standardize(returns - tf.stop_gradient(values))  # [S]
    entropy = -tf.reduce_sum(tf.nn.softmax(logits) * tf.nn.log_softmax(logits), axis=1)  # [S]
    assert action_log_probs.shape == advantage.shape == returns.shape == values.shape == entropy.shape
    actor_loss = -tf.reduce_mean(action_log_probs * advantage + entropy_weight * entropy)
    critic_loss = tf.reduce_mean(huber(returns - values))
    return actor_loss, critic_loss


def explained_variance(values, returns):
    """The share of the variance of the returns [S] that the values [S] explain: 1 at best, 0 for a constant; []."""
    return 1 - tf.math.reduce_variance(returns - values) / (tf.math.reduce_variance(returns) + 1e-8)


def make_train_step(model, optimizer, envs, reward_scale, gamma, entropy_weight):
    """Compiled: first obs [N, D], seed → score and length of each game [N], loss, explained variance []."""
    optimizer.build(model.trainable_variables)
    env_step = make_env_step(envs)

    @tf.function
    def train_step(obs, seed):
        # (1) Play.
        games = run_episodes(model, env_step, obs, seed)
        # (2) Returns.
        tail = tf.where(games.terminated, 0.0, model(games.last_obs)[1][:, 0])  # [N]
        returns = get_expected_return(reward_scale * games.reward, games.playing, tail, gamma)  # [T, N]
        # The steps of all games, one after the other: [T, N] → [S].
        played, actions, returns = (tf.boolean_mask(x, games.playing) for x in (games.obs, games.action, returns))
        with tf.GradientTape() as tape:
            # (3) Losses, of all steps in one pass: faster than a tape over the loop that plays.
            logits, values = model(played)  # [S, A], [S, 1]
            actor_loss, critic_loss = compute_loss(logits, values[:, 0], actions, returns, entropy_weight)
            loss = actor_loss + critic_loss
        # (4) Update.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

        mask = tf.cast(games.playing, tf.float32)  # [T, N]
        score, length = tf.reduce_sum(mask * games.reward, axis=0), tf.reduce_sum(mask, axis=0)  # [N]
        return score, length, loss, explained_variance(values[:, 0], returns)

    return train_step


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
    num_envs: Size = 32,
    hidden_units: Size = 128,
    learning_rate: Positive = 0.01,
    reward_scale: Positive = 0.01,
    gamma: Probability = 0.99,
    entropy_weight: NonNegative = 0.001,
    solved_at: float = 475.0,
    eval_interval: Natural = 150_000,
    eval_episodes: Natural = 100,
    save_interval: Count = 20_000,
) -> Path:
    """Train an actor-critic with whole games in the graph until the environment is solved; save it as a Keras model.

    Args:
        env_id: an environment with vector observations and discrete actions.
        episodes: largest number of games, rounded up to whole updates.
        seed: random seed of the network, the environments and the actions.
        logdir: folder of the run; runs/actor_critic_two_networks/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
        num_envs: games per update, played side by side.
        hidden_units: width of the hidden layer of each network.
        learning_rate: learning rate of Adam.
        reward_scale: factor of the rewards in learning, so that the returns are of the order of 1.
        gamma: discount factor per step.
        entropy_weight: weight of the mean entropy of the actor's probabilities, which is subtracted from the loss.
        solved_at: training ends when the mean return of the last 100 games reaches this value.
        eval_interval: steps between two evaluations during training; 0 means only the one at the end.
        eval_episodes: greedy games per evaluation; 0 means no evaluation.
        save_interval: steps between two saves.
    """
    run = Run("actor_critic_two_networks", locals(), columns=("loss", "explained"))
    make_envs = partial(make_vec, env_id, kind="vectors", env_kwargs=run.env_kwargs)
    envs = make_envs(num_envs)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_actor_critic(envs.single_observation_space, int(envs.single_action_space.n), hidden_units)
    optimizer = keras.optimizers.Adam(learning_rate)
    train_step = make_train_step(model, optimizer, run.in_graph(envs), reward_scale, gamma, entropy_weight)
    carry = run.begin(model=model, optimizer=optimizer, rng=rng, step=0)  # between two updates no game is in progress

    with closing(envs), run:
        while run.episode < episodes and run.mean_of_last(100) < solved_at and not run.interrupted:
            # Play and learn.
            obs, _ = envs.reset(seed=int(rng.integers(2**31)))
            scores, lengths, loss, explained = train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
            loss = finite(loss, carry.step)

            # Report.
            carry.step = run.log_games(carry.step, scores.numpy(), lengths.numpy(), loss=loss, explained=explained)
            run.evaluate_every(eval_interval, make_envs, eval_episodes)
            run.save_every(save_interval)

    run.evaluate(make_envs, eval_episodes)
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
