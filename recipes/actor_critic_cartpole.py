r"""Actor-critic: whole games played inside a TensorFlow graph, one network with two heads.

The actor chooses actions; the critic predicts the discounted reward still to come, and an action counts as good by as
much as it brought more than the critic predicted. Both are heads of one network, and one update follows each batch of
whole games.

    (1) play: `num_envs` games to their end, each action drawn from the actor's probabilities; the environments stand
        behind `tf.numpy_function`, the loop over the steps is part of the graph
    (2) returns: G_t = r_t + gamma * G_(t+1); a game that was cut off goes on with the critic's value of its last
        observation, one that terminated is worth nothing beyond
    (3) losses: actor -log pi(a_t) * (G_t - v_t), the difference standardised and never a way for the actor's loss to
        reach the critic; critic Huber(G_t - v_t); both summed over all steps
    (4) update: one step of Adam; over when the running reward, the mean of the last 100 games, has reached `solved_at`

Source: TensorFlow tutorial "Playing CartPole with the Actor-Critic method", after Konda, Tsitsiklis, Actor-Critic
Algorithms, NIPS 12 (2000); Sutton et al., Policy Gradient Methods, NIPS 12 (2000).

Differs from the text in (book/actor_critic_cartpole.md tells what each is worth):

                here                                     text
    a game      lasts until its end                      one step: `return` stands in the loop, `done` is never tested
    update      after 32 games, played at once           after each game
    baseline    a number to the actor's loss             trained by the actor's loss, too
    advantage   standardised over all steps              returns standardised game by game
    cut off     bootstrapped from the last observation   counts as terminated
    rewards     times 0.01                               as they are
    gradient    through all steps at once, afterwards    through the loop that played

With one thing of the text at a time, CartPole-v1 is solved after, mean of five seeds: here 806 games, baseline 928,
advantage 1,280, cut off 832, rewards 1,784 and not on every seed, update 392, one game after the other. The first line:
the text's own program scores 1 with that `return`, 15 with `done` untested, 213 mended, in games 201 to 300. The last:
0.46 ms per step instead of 0.59.

    python recipes/actor_critic_cartpole.py

Solves CartPole-v1, a mean of 475 over 100 games, on every one of five seeds: 800 games, 167,952 steps, 4.9 (4.9 to
5.3) s of training, 10 s in all; medians, two cores of a Xeon at 2.5 GHz (`benchmarks/five_seeds.py`).
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


def build_actor_critic(obs_space, num_actions, num_hidden_units):
    """One hidden layer, two heads: obs [B, D] → logits [B, A], value [B, 1]."""
    obs = keras.Input(obs_space.shape, dtype=obs_space.dtype.name)
    common = keras.layers.Dense(num_hidden_units, activation="relu", name="common")(obs)
    logits = keras.layers.Dense(num_actions, name="logits")(common)
    value = keras.layers.Dense(1, name="value")(common)
    return keras.Model(obs, [logits, value], name="actor_critic")


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


def run_episodes(model, env_step, obs, seed):
    """Play from obs [N, D] until every game has ended → Games; `seed`, a whole number, decides the draws of actions."""
    playing = tf.ones(len(obs), tf.bool)  # [N]
    terminated, last_obs, t = tf.zeros_like(playing), obs, 0
    observations = tf.TensorArray(obs.dtype, 0, dynamic_size=True, element_shape=obs.shape)
    actions = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=playing.shape)
    rewards = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=playing.shape)
    masks = tf.TensorArray(tf.bool, 0, dynamic_size=True, element_shape=playing.shape)
    while tf.reduce_any(playing):
        logits, _ = model(obs)  # [N, A]
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


def standardize(x):
    """Mean 0, deviation 1: [S] → [S]."""
    return (x - tf.reduce_mean(x)) / (tf.math.reduce_std(x) + np.finfo(np.float32).eps)


def huber_loss(error):
    """0.5 e² where |e| < 1, |e| - 0.5 beyond, summed: [S] → []."""
    size = tf.abs(error)
    quadratic = tf.minimum(size, 1.0)
    return tf.reduce_sum(0.5 * quadratic**2 + (size - quadratic))


def compute_loss(logits, values, actions, returns):
    """logits [S, A], values [S], actions [S], returns [S] → the actor's loss and the critic's, both []."""
    action_log_probs = -tf.nn.sparse_softmax_cross_entropy_with_logits(actions, logits)  # [S]
    advantage = standardize(returns - tf.stop_gradient(values))  # [S]
    assert action_log_probs.shape == advantage.shape == returns.shape == values.shape
    actor_loss = -tf.reduce_sum(action_log_probs * advantage)
    critic_loss = huber_loss(returns - values)
    return actor_loss, critic_loss


def make_train_step(model, optimizer, worlds, reward_scale, gamma):
    """Compiled: first obs [N, D], seed → score and length of each game [N], and the loss per step."""
    optimizer.build(model.trainable_variables)
    env_step = make_env_step(worlds)

    @tf.function
    def train_step(obs, seed):
        # (1) Play.
        games = run_episodes(model, env_step, obs, seed)
        # (2) Returns.
        tail = tf.where(games.terminated, 0.0, model(games.last_obs)[1][:, 0])  # [N]
        returns = get_expected_return(reward_scale * games.reward, games.playing, tail, gamma)  # [T, N]
        # From here on steps, whatever game they are of: [T, N] → [S].
        played, actions, returns = (tf.boolean_mask(x, games.playing) for x in (games.obs, games.action, returns))
        with tf.GradientTape() as tape:
            # (3) Losses, of all steps at once: quicker than a tape over the whole play.
            logits, values = model(played)  # [S, A], [S, 1]
            actor_loss, critic_loss = compute_loss(logits, values[:, 0], actions, returns)
            loss = actor_loss + critic_loss
        # (4) Update.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

        mask = tf.cast(games.playing, tf.float32)  # [T, N]
        length = tf.reduce_sum(mask, axis=0)  # [N]
        return tf.reduce_sum(mask * games.reward, axis=0), length, loss / tf.reduce_sum(length)

    return train_step


def evaluate(model, env_id, games, seed):
    """Returns of `games` whole games, each in an environment of its own, always the likeliest action; [games]."""
    worlds = make_vec(env_id, games, "vectors")
    act = tf.function(lambda obs: tf.argmax(model(obs)[0], axis=-1))
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
    num_hidden_units: Count = 128,
    learning_rate: Positive = 0.01,
    reward_scale: Positive = 0.01,
    gamma: Fraction = 0.99,
    solved_at: float = 475.0,
    save_interval: Count = 1000,
    eval_episodes: Natural = 100,
) -> None:
    """Train an actor-critic with whole games in the graph until its environment is solved; save it as a Keras model.

    Args:
        env_id: an environment with vectors to see and discrete actions.
        episodes: whole games to play at most, rounded up to whole updates of num_envs games.
        seed: of the network, the environments and the actions.
        logdir: folder of the run; runs/actor_critic_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_envs: games played at once, for one update.
        num_hidden_units: width of the layer that both heads share.
        learning_rate: of Adam, per update.
        reward_scale: rewards are multiplied by it before learning, so that returns are of the size of 1.
        gamma: discount per step.
        solved_at: training ends when the mean return of the last 100 games is that high.
        save_interval: games between two checkpoints.
        eval_episodes: games played with the trained network at the end; 0 for none.
    """
    arguments = locals()

    # Set up.
    worlds = make_vec(env_id, num_envs, "vectors")
    log = RunLog("actor_critic_cartpole", arguments, columns=("running_reward", "loss"))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_actor_critic(worlds.single_observation_space, int(worlds.single_action_space.n), num_hidden_units)
    optimizer = keras.optimizers.Adam(learning_rate)
    train_step = make_train_step(model, optimizer, worlds, reward_scale, gamma)
    step = 0

    # Every checkpoint holds all that the loop changes; the environments begin anew at each update.
    identity = {"recipe": "actor_critic_cartpole", "env_id": env_id}
    tensors = {"model": model, "optimizer": optimizer}

    def save():
        state = {"step": step, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state)

    if log.resumed:
        state, _ = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, rng.bit_generator.state = state["step"], state["rng"]
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too
        log.save(model)

    with log, interruptible() as interrupted:
        while log.episode < episodes and log.mean_of_last(100) < solved_at and not interrupted():
            # Play and learn.
            obs, _ = worlds.reset(seed=int(rng.integers(2**31)))
            scores, lengths, loss = train_step(obs, tf.constant(rng.integers(2**31), tf.int32))
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} after step {step}; the last good checkpoint is kept")

            # Report.
            for score, length in zip(scores.numpy(), lengths.numpy(), strict=True):
                step += int(length)
                running_reward = np.mean([*log.returns, score][-100:])
                log.log_episode(step, score, int(length), running_reward=running_reward, loss=loss)
            if log.episode // save_interval > (log.episode - num_envs) // save_interval:
                save()

        # Finish.
        save()
        log.save(model)
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    solved = log.mean_of_last(100) >= solved_at
    print(f"{env_id}: {'solved' if solved else 'not solved'} after {log.episode} episodes and {log.seconds:.1f} s")
    if eval_episodes:
        scores = evaluate(model, env_id, eval_episodes, (seed + 2**29) % 2**30)
        log.save_evaluation(scores=scores.tolist(), solved_episode=log.episode if solved else None)
        print(f"{env_id}: {scores.mean():.2f} ± {scores.std():.2f}, {eval_episodes} games, always the likeliest action")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
