"""DQN as the examples of keras.io write it: one environment, one eager call after the other; prints steps per second.

A step acts by calling the model on one observation. An update takes its batch out of Python lists, one transition at a
time, asks `target_model.predict` for the next values, and differentiates without `tf.function`; loss and optimizer are
those of the example for Breakout. Network, learning rate, batch and the share of updates are those of the recipe, and
Pong has this repository's emulator, which is the faster one. Started by bench.py, with what it took from the recipe's
signature:

    python benchmarks/eager_dqn.py '{"env_id": "CartPole-v1", "steps": 600, "warm_up": 200, …}'
"""

import json
import sys
import time

import numpy as np

from common.lazy import keras, tf
from envs.atari import make_atari
from envs.checked import make_vec
from recipes import dqn_atari, dqn_cartpole


def main(s):
    """Train for so many steps, and print the speed after the warm-up."""
    if s["env_id"].startswith("ALE/"):
        env = make_atari(s["env_id"], 1)
        build = lambda: dqn_atari.build_q_network((4, 84, 84), num_actions)  # noqa: E731
    else:
        env = make_vec(s["env_id"], 1, "vectors")
        build = lambda: dqn_cartpole.build_q_network(obs_size, num_actions, s["hidden_units"])  # noqa: E731
    obs_size, num_actions = env.single_observation_space.shape[0], int(env.single_action_space.n)
    model, target_model = build(), build()
    target_model.set_weights(model.get_weights())
    optimizer, huber = keras.optimizers.Adam(s["learning_rate"], clipnorm=1.0), keras.losses.Huber()
    states, actions, rewards, next_states, ends = [], [], [], [], []
    (state,), _ = env.reset(seed=0)
    updates, start, rng = 0, None, np.random.default_rng(0)

    for step in range(s["steps"]):
        if step == s["warm_up"]:
            start = time.perf_counter()
        q = model(tf.expand_dims(tf.convert_to_tensor(state), 0), training=False)
        explore = rng.random() < s["epsilon_final"]
        action = int(rng.integers(num_actions)) if explore else int(tf.argmax(q[0]).numpy())
        (next_state,), (reward,), (terminated,), _, _ = env.step(np.array([action]))
        for memory, value in zip(
            (states, actions, rewards, next_states, ends), (state, action, reward, next_state, terminated), strict=True
        ):
            memory.append(value)
            if len(memory) > s["buffer_size"]:
                del memory[:1]
        state = next_state
        if len(states) <= s["batch_size"] or step % s["train_interval"]:
            continue
        rows = rng.integers(len(ends), size=s["batch_size"])
        batch, following = (np.array([memory[i] for i in rows]) for memory in (states, next_states))
        reward, end = ([float(memory[i]) for i in rows] for memory in (rewards, ends))
        best = tf.reduce_max(target_model.predict(following, verbose=0), axis=1)
        target = tf.constant(reward) + s["gamma"] * best * (1 - tf.constant(end))
        mask = tf.one_hot([actions[i] for i in rows], num_actions)
        with tf.GradientTape() as tape:
            loss = huber(target, tf.reduce_sum(model(batch) * mask, axis=1))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        updates += 1
        if updates % s["target_interval"] == 0:
            target_model.set_weights(model.get_weights())
    print((s["steps"] - s["warm_up"]) / (time.perf_counter() - start))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
