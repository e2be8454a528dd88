"""The TensorFlow tutorial "Playing CartPole with the Actor-Critic method", repaired just enough to run and to learn.

What `benchmarks/actor_critic_speed.py` measures the recipe against. The tutorial's settings are kept: one environment,
one game per update, played within the gradient tape; 128 relu units under two heads; returns standardised game by game;
Huber loss; Adam 0.01; solved when 100 games in a row average above 475. Prints games and seconds until then.

    python benchmarks/tutorial_actor_critic.py [--seed=0] [--max_episodes=10000] [--variant=repaired]
    python benchmarks/tutorial_actor_critic.py --eager --max_seconds=480

With --eager nothing is compiled, as in the actor-critic among the examples of keras.io, which is the same algorithm.

The other variants are for `benchmarks/actor_critic_errata.py`. Two put a mistake of the printed code back, `return in
the loop` and `done not tested`; `stop gradient` mends one more: the actor's loss no longer trains the critic.
"""

import collections
import time

import fire
import gymnasium as gym
import numpy as np

from common.lazy import keras, tf

MAX_STEPS, GAMMA = 500, 0.99
EPS = np.finfo(np.float32).eps


def build_model():
    """Two heads on one layer: obs [1, 4] → logits [1, 2], value [1, 1]."""
    obs = keras.Input((4,))
    common = keras.layers.Dense(128, activation="relu")(obs)
    return keras.Model(obs, [keras.layers.Dense(2)(common), keras.layers.Dense(1)(common)])


def make_env_step(env):
    """The environment as an operation: action → obs [4], reward, done."""

    def step(action):
        obs, reward, terminated, truncated, _ = env.step(action)
        return obs.astype(np.float32), np.int32(reward), np.bool_(terminated or truncated)

    return lambda action: tf.numpy_function(step, [action], [tf.float32, tf.int32, tf.bool])


def run_episode(model, env_step, obs, variant):
    """One game → probabilities of the actions taken [T], values [T], rewards [T]."""
    probs = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=())
    values = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=())
    rewards = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=())
    for t in tf.range(1 if variant == "return in the loop" else MAX_STEPS):
        logits, value = model(obs[None])
        action = tf.random.categorical(logits, 1)[0, 0]
        values = values.write(t, value[0, 0])
        probs = probs.write(t, tf.nn.softmax(logits)[0, action])
        next_obs, reward, done = env_step(action)
        obs = tf.ensure_shape(next_obs, obs.shape)
        rewards = rewards.write(t, tf.ensure_shape(reward, ()))
        if tf.ensure_shape(done, ()) and variant != "done not tested":
            break
    return probs.stack(), values.stack(), rewards.stack()


def expected_return(rewards):
    """Discounted sums [T], standardised."""
    count = tf.shape(rewards)[0]
    returns = tf.TensorArray(tf.float32, count, element_shape=())
    total = tf.constant(0.0)
    for t in tf.range(count - 1, -1, -1):
        total = tf.cast(rewards[t], tf.float32) + GAMMA * total
        returns = returns.write(t, total)
    returns = returns.stack()
    return (returns - tf.reduce_mean(returns)) / (tf.math.reduce_std(returns) + EPS)


def compute_loss(probs, values, returns, variant):
    """Actor and critic, summed over the game; all [T, 1]."""
    baseline = tf.stop_gradient(values) if variant == "stop gradient" else values
    actor = -tf.reduce_sum(tf.math.log(probs) * (returns - baseline))
    return actor + keras.losses.Huber(reduction="sum")(returns, values)


def make_train_step(model, optimizer, env_step, variant):
    """Compiled: first obs [4] → the game's score, after one update."""
    optimizer.build(model.trainable_variables)

    @tf.function
    def train_step(obs):
        with tf.GradientTape() as tape:
            probs, values, rewards = run_episode(model, env_step, obs, variant)
            returns = expected_return(rewards)
            loss = compute_loss(probs[:, None], values[:, None], returns[:, None], variant)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return tf.reduce_sum(rewards)

    return train_step


def train(seed=0, max_episodes=10_000, variant="repaired", eager=False, max_seconds=1e9):
    """Train until solved; returns whether it was, games, seconds, and the mean score of the last 100."""
    gym.logger.min_level = gym.logger.ERROR  # stepping on after the end, which two variants do, brings a warning each
    keras.utils.set_random_seed(seed)
    tf.config.run_functions_eagerly(eager)
    started = time.perf_counter()
    env = gym.make("CartPole-v1")
    env.reset(seed=seed)
    model = build_model()
    train_step = make_train_step(model, keras.optimizers.Adam(0.01), make_env_step(env), variant)
    last = collections.deque(maxlen=100)
    episode = 0
    while episode < max_episodes and not (len(last) == 100 and np.mean(last) > 475):
        if time.perf_counter() - started > max_seconds:
            break
        obs, _ = env.reset()
        last.append(int(train_step(tf.constant(obs))))
        episode += 1
    solved, seconds = len(last) == 100 and np.mean(last) > 475, time.perf_counter() - started
    print(f"solved={solved} episodes={episode} seconds={seconds:.2f} last_100={np.mean(last):.1f}")
    return bool(solved), episode, seconds, float(np.mean(last))


if __name__ == "__main__":
    fire.Fire(lambda **flags: train(**flags) and None)
