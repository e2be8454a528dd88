r"""Actor-critic with two networks: the actor's and the critic's share nothing.

The actor chooses actions; the critic predicts the discounted reward still to come, and an action counts as good by as
much as it brought more than the critic predicted. Each has a network of its own, so neither disturbs the other.

    (1) play: `num_envs` games to their end, each action drawn from the actor's probabilities; the environments stand
        behind `tf.numpy_function`, the loop over the steps is part of the graph
    (2) returns: G_t = r_t + gamma * G_(t+1); a game that was cut off goes on with the critic's value of its last
        observation, one that terminated is worth nothing beyond
    (3) losses: actor -log pi(a_t) * (G_t - v_t), minus a little of the entropy of pi, so that it stays curious; critic
        (G_t - v_t)² / 2; both averaged over all steps
    (4) update: one step of Adam for both networks; over when the running reward, the mean of the last 100 games, has
        reached `solved_at`

Source: Neuromatch Academy, W3D4 bonus tutorial, section 3.2.

Differs from the text in (book/actor_critic_two_networks.md tells what each is worth):

                here                                     text
    critic      learns from its loss                     never learns: its values are cut from the graph
    entropy     of each step, rewarded, with a gradient  sum over all games, added to the loss, without a gradient
    terminated  nothing beyond                           bootstrapped from the fallen pole
    game        500 steps at most, the environment's     300 steps, an average of 475 is out of reach
    Adam        0.01                                     0.01 declared, 0.001 used
    solved      100 games average 475                    nothing is tested; averages over 10 are printed
    update      after 32 games, played at once           after each game
    rewards     times 0.01                               as they are

With one thing of the text at a time, CartPole-v1 is solved after, mean of five seeds: here 710 games, critic 896,
entropy 717, rewards 832, update 202 (three seeds), one game after the other; with `terminated` it ends at 9 steps and
with the shorter game at 299, solved by none.

    python recipes/actor_critic_two_networks.py

Solves CartPole-v1, a mean of 475 over 100 games, on every one of five seeds: 672 games, 130,881 steps, 4.6 (4.4 to
5.0) s of training, 10 s in all; medians, two cores of a Xeon at 2.5 GHz (`benchmarks/five_seeds.py`).

`diff recipes/actor_critic_cartpole.py recipes/actor_critic_two_networks.py` shows what two networks change.
"""

from __future__ import annotations

from typing import NamedTuple

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Fraction, Natural, Positive, Seed, strict
from common.lazy import keras, tf
from common.runlog import RunLog, interruptible
from envs.checked import make_vec


class Games(NamedTuple):
    """N games side by side, T steps, as many as the longest has; beyond the end of a shorter one `playing` is false."""

    obs: tf.Tensor  # [T, N, D]
    action: tf.Tensor  # [T, N]
    reward: tf.Tensor  # [T, N]
    playing: tf.Tensor  # [T, N] bool
    last_obs: tf.Tensor  # [N, D], what the last action of each game led to
    terminated: tf.Tensor  # [N] bool, false where the game was cut off


def build_network(obs_space, num_outputs, hidden_size, name):
    """One hidden layer: obs [B, D] → [B, num_outputs]."""
    obs = keras.Input(obs_space.shape, dtype=obs_space.dtype.name)
    hidden = keras.layers.Dense(hidden_size, activation="relu")(obs)
    return keras.Model(obs, keras.layers.Dense(num_outputs)(hidden), name=name)


def make_env_step(worlds):
    """The environments as an operation of the graph: action [N] → obs [N, D], reward, terminated, truncated [N]."""
    obs_space, num_envs = worlds.single_observation_space, worlds.num_envs

    def step(action):
        obs, reward, terminated, truncated, _ = worlds.step(action)
        return obs, reward.astype(np.float32), terminated, truncated

    def env_step(action):
        types = (obs_space.dtype, tf.float32, tf.bool, tf.bool)
        shapes = ((num_envs, *obs_space.shape), (num_envs,), (num_envs,), (num_envs,))
        results = tf.numpy_function(step, [action], types)
        return [tf.ensure_shape(result, shape) for result, shape in zip(results, shapes, strict=True)]

    return env_step


def run_episodes(actor, env_step, obs, seed):
    """Play from obs [N, D] until every game has ended → Games; `seed`, a whole number, decides the draws of actions."""
    playing = tf.ones(len(obs), tf.bool)  # [N]
    terminated, last_obs, t = tf.zeros_like(playing), obs, 0
    observations = tf.TensorArray(obs.dtype, 0, dynamic_size=True, element_shape=obs.shape)
    actions = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=playing.shape)
    rewards = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=playing.shape)
    masks = tf.TensorArray(tf.bool, 0, dynamic_size=True, element_shape=playing.shape)
    while tf.reduce_any(playing):
        logits = actor(obs)  # [N, A]
        action = tf.random.stateless_categorical(logits, 1, [seed, t])[:, 0]  # [N]
        action = tf.minimum(action, logits.shape[-1] - 1)  # NaN draws an action that does not exist; the loss will tell
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

    `tail` is the value of what follows the last step of each game.
    """
    assert reward.shape == playing.shape and reward.shape[1:] == tail.shape

    def backwards(discounted_sum, step):
        reward, playing = step
        return tf.where(playing, reward + gamma * discounted_sum, discounted_sum)  # [N]

    return tf.scan(backwards, (reward, playing), tail, reverse=True)


def compute_loss(logits, values, actions, returns, entropy_weight):
    """logits [S, A], values [S], actions [S], returns [S] → the actor's loss and the critic's, both []."""
    log_probs = tf.nn.log_softmax(logits)  # [S, A]
    action_log_probs = tf.gather(log_probs, actions, axis=1, batch_dims=1)  # [S]
    entropy = -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=1)  # [S]
    advantage = returns - values  # [S]
    assert action_log_probs.shape == entropy.shape == advantage.shape == returns.shape == values.shape
    actor_loss = -tf.reduce_mean(action_log_probs * tf.stop_gradient(advantage) + entropy_weight * entropy)
    critic_loss = tf.reduce_mean(0.5 * advantage**2)
    return actor_loss, critic_loss


def make_train_step(actor, critic, optimizer, worlds, reward_scale, gamma, entropy_weight):
    """Compiled: first obs [N, D], seed → score and length of each game [N], loss, variance the critic explained."""
    variables = actor.trainable_variables + critic.trainable_variables
    optimizer.build(variables)
    env_step = make_env_step(worlds)

    @tf.function
    def train_step(obs, seed):
        # (1) Play.
        games = run_episodes(actor, env_step, obs, seed)
        # (2) Returns.
        tail = tf.where(games.terminated, 0.0, critic(games.last_obs)[:, 0])  # [N]
        returns = get_expected_return(reward_scale * games.reward, games.playing, tail, gamma)  # [T, N]
        # From here on steps, whatever game they are of: [T, N] → [S].
        played, actions, returns = (tf.boolean_mask(x, games.playing) for x in (games.obs, games.action, returns))
        with tf.GradientTape() as tape:
            # (3) Losses, of all steps at once: quicker than a tape over the whole play.
            logits, values = actor(played), critic(played)[:, 0]  # [S, A], [S]
            actor_loss, critic_loss = compute_loss(logits, values, actions, returns, entropy_weight)
            loss = actor_loss + critic_loss
        # (4) Update.
        optimizer.apply(tape.gradient(loss, variables), variables)

        mask = tf.cast(games.playing, tf.float32)  # [T, N]
        length = tf.reduce_sum(mask, axis=0)  # [N]
        explained = 1 - 2 * critic_loss / (tf.math.reduce_variance(returns) + np.finfo(np.float32).eps)
        return tf.reduce_sum(mask * games.reward, axis=0), length, loss, explained

    return train_step


def evaluate(actor, env_id, games, seed):
    """Returns of `games` whole games, each in an environment of its own, always the likeliest action; [games]."""
    worlds = make_vec(env_id, games, "vectors")
    act = tf.function(lambda obs: tf.argmax(actor(obs), axis=-1))
    obs, _ = worlds.reset(seed=seed)
    scores, playing = np.zeros(games), np.ones(games, bool)
    while playing.any():
        obs, reward, terminated, truncated, _ = worlds.step(act(obs).numpy())
        scores += reward * playing
        playing &= ~(terminated | truncated)
    worlds.close()
    return scores


def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 10_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    num_envs: Count = 32,
    hidden_size: Count = 256,
    learning_rate: Positive = 0.01,
    reward_scale: Positive = 0.01,
    gamma: Fraction = 0.99,
    entropy_weight: Fraction = 0.001,
    solved_at: float = 475.0,
    save_interval: Count = 1000,
    eval_episodes: Natural = 100,
) -> None:
    """Train an actor-critic with whole games in the graph until its environment is solved; save it as a Keras model.

    Args:
        env_id: an environment with vectors to see and discrete actions.
        episodes: whole games to play at most, rounded up to whole updates of num_envs games.
        seed: of the network, the environments and the actions.
        logdir: folder of the run; runs/actor_critic_two_networks/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_envs: games played at once, for one update.
        hidden_size: width of the hidden layer of each network.
        learning_rate: of Adam, per update.
        reward_scale: rewards are multiplied by it before learning, so that returns are of the size of 1.
        gamma: discount per step.
        entropy_weight: of the mean entropy of the actor's probabilities, which is rewarded.
        solved_at: training ends when the mean return of the last 100 games is that high.
        save_interval: games between two checkpoints.
        eval_episodes: games played with the trained network at the end; 0 for none.
    """
    arguments = locals()

    # Set up.
    worlds = make_vec(env_id, num_envs, "vectors")
    log = RunLog("actor_critic_two_networks", arguments, columns=("running_reward", "loss", "explained"))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    obs_space, num_actions = worlds.single_observation_space, int(worlds.single_action_space.n)
    actor = build_network(obs_space, num_actions, hidden_size, "actor")
    critic = build_network(obs_space, 1, hidden_size, "critic")
    optimizer = keras.optimizers.Adam(learning_rate)
    train_step = make_train_step(actor, critic, optimizer, worlds, reward_scale, gamma, entropy_weight)
    step = 0

    # Every checkpoint holds all that the loop changes; the environments begin anew at each update.
    identity = {"recipe": "actor_critic_two_networks", "env_id": env_id}
    tensors = {"actor": actor, "critic": critic, "optimizer": optimizer}

    def save():
        state = {"step": step, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state)

    if log.resumed:
        state, _ = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, rng.bit_generator.state = state["step"], state["rng"]
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too
        log.save(actor, critic=critic)

    with log, interruptible() as interrupted:
        while log.episode < episodes and log.mean_of_last(100) < solved_at and not interrupted():
            # Play and learn.
            obs, _ = worlds.reset(seed=int(rng.integers(2**31)))
            scores, lengths, loss, explained = train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} after step {step}; the last good checkpoint is kept")

            # Report.
            for score, length in zip(scores.numpy(), lengths.numpy(), strict=True):
                step += int(length)
                running_reward = np.mean([*log.returns, score][-100:])
                log.log_episode(step, score, int(length), running_reward=running_reward, loss=loss, explained=explained)
            if log.episode // save_interval > (log.episode - num_envs) // save_interval:
                save()

        # Finish.
        save()
        log.save(actor, critic=critic)
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    solved = log.mean_of_last(100) >= solved_at
    print(f"{env_id}: {'solved' if solved else 'not solved'} after {log.episode} episodes and {log.seconds:.1f} s")
    if eval_episodes:
        scores = evaluate(actor, env_id, eval_episodes, (seed + 2**29) % 2**30)
        log.save_evaluation(scores=scores.tolist(), solved_episode=log.episode if solved else None)
        print(f"{env_id}: {scores.mean():.2f} ± {scores.std():.2f}, {eval_episodes} games, always the likeliest action")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
