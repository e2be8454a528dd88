"""Time until CartPole-v1 is solved: the recipe against the repaired TensorFlow tutorial, in turns, in one run.

Solved: 100 training games in a row average 475. Training seconds begin after the imports and end with the game that
solves it; process seconds are the whole command's, in which the recipe also saves, draws and plays 100 games more.
Then what it is worth to play first and to see all steps at once afterwards, instead of playing within the tape.

    python benchmarks/actor_critic_speed.py [--seeds=5]      with --seeds=0 only the latter
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire
import numpy as np

from common.files import read_episodes
from common.lazy import keras, tf
from common.machine import processor
from envs.checked import make_vec
from recipes import actor_critic_cartpole as recipe

ROOT = Path(__file__).parent.parent


def run(*command):
    """Standard output and seconds of a process, which must succeed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True, text=True)
    return done.stdout, time.perf_counter() - start


def tutorial(seed):
    """Process seconds, training seconds and games until solved."""
    said, process = run(ROOT / "benchmarks" / "tutorial_actor_critic.py", f"--seed={seed}")
    solved, games, seconds = re.search(r"solved=(\w+) episodes=(\d+) seconds=([\d.]+)", said).groups()
    assert solved == "True"
    return process, float(seconds), int(games)


def ours(seed):
    """The same of the recipe, with its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        _, process = run(ROOT / "recipes" / "actor_critic_cartpole.py", f"--seed={seed}", f"--logdir={folder}/run")
        episodes = read_episodes(f"{folder}/run")
        assert episodes["episode_return"][-100:].mean() >= 475
        return process, episodes["seconds"][-1], len(episodes["episode"])


def within_the_tape(model, optimizer, envs, reward_scale, gamma):
    """`make_train_step` as the tutorial has it: the gradient goes back through the loop that played."""
    optimizer.build(model.trainable_variables)
    env_step = recipe.make_env_step(envs)

    @tf.function
    def train_step(obs, seed):
        playing = tf.ones(len(obs), tf.bool)
        terminated, last_obs, t = tf.zeros_like(playing), obs, 0
        outputs = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=(len(obs), 2))
        values = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=playing.shape)
        actions = tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=playing.shape)
        rewards = tf.TensorArray(tf.float32, 0, dynamic_size=True, element_shape=playing.shape)
        masks = tf.TensorArray(tf.bool, 0, dynamic_size=True, element_shape=playing.shape)
        with tf.GradientTape() as tape:
            while tf.reduce_any(playing):
                logits, value = model(obs)
                action = tf.random.stateless_categorical(logits, 1, [seed, t])[:, 0]
                outputs, values = outputs.write(t, logits), values.write(t, value[:, 0])
                actions, masks = actions.write(t, action), masks.write(t, playing)
                obs, reward, terminates, truncates = env_step(action)
                rewards = rewards.write(t, reward)
                last_obs = tf.where(playing[:, None], obs, last_obs)
                terminated |= playing & terminates
                playing &= ~(terminates | truncates)
                t += 1
            mask, reward = masks.stack(), rewards.stack()
            beyond = tf.where(terminated, 0.0, tf.stop_gradient(model(last_obs)[1][:, 0]))
            returns = recipe.get_expected_return(reward_scale * reward, mask, beyond, gamma)
            steps = [tf.boolean_mask(x, mask) for x in (outputs.stack(), values.stack(), actions.stack(), returns)]
            loss = sum(recipe.compute_loss(*steps))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        length = tf.reduce_sum(tf.cast(mask, tf.float32), axis=0)
        return tf.reduce_sum(tf.where(mask, reward, 0.0), axis=0), length, loss, recipe.explained_variance(*steps[1::2])

    return train_step


def milliseconds_per_step(make_train_step, updates=20, num_envs=32):
    """Of play and learning together, for all environments at once."""
    envs, rng = make_vec("CartPole-v1", num_envs, "vectors"), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    model = recipe.build_actor_critic(envs.single_observation_space, 2, 128)
    train_step = make_train_step(model, keras.optimizers.Adam(0.01), envs, 0.01, 0.99)
    steps, seconds = 0, 0.0
    for update in range(updates):
        obs, _ = envs.reset(seed=int(rng.integers(2**31)))
        start = time.perf_counter()
        _, lengths, *_ = train_step(obs, tf.constant(update))
        if update:  # the first one traces
            steps, seconds = steps + int(lengths.numpy().max()), seconds + time.perf_counter() - start
    return 1000 * seconds / steps


def compare(seeds=5):
    """Measure in turns; print medians, ranges and ratios."""
    measured = {"tutorial": [], "recipe": []}
    for seed in range(seeds):
        for name, solve in (("tutorial", tutorial), ("recipe", ours)):
            measured[name].append(solve(seed))
            print(
                f"{name}, seed {seed}: process {{:.1f}} s, training {{:.1f}} s, {{}} games".format(*measured[name][-1])
            )
    print(processor())
    for i, what in enumerate(("process seconds", "training seconds", "games") if seeds else ()):
        columns = {name: [row[i] for row in rows] for name, rows in measured.items()}
        for name, values in columns.items():
            print(f"{what}, {name}: median {statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        ratio = statistics.median(columns["recipe"]) / statistics.median(columns["tutorial"])
        print(f"{what}: the recipe takes {ratio:.2f} of the tutorial's")
    ways = {"first play, then all steps at once": recipe.make_train_step, "within the tape": within_the_tape}
    rounds = [[milliseconds_per_step(make) for make in ways.values()] for _ in range(4)]
    for name, times in zip(ways, zip(*rounds, strict=True), strict=True):
        print(f"{name}: {statistics.median(times):.2f} ms per step ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    fire.Fire(compare)
