r"""Deep Q-Network on a grid: find the shortest way from pixels, with a target network.

A small convolutional network sees the walls, the agent and the goal as layers of an image. It is fitted to remembered
steps: to the reward plus the best value that a slower copy of it gives to the next state.

    (1) act: mostly the action with the highest q, with probability epsilon a random one
    (2) remember the step
    (3) target: y = r + gamma * max_a q_target(s', a), and y = r where the episode terminated
    (4) fit q(s, a) to y, mean squared error, one minibatch after the other
    (5) every `target_interval` updates, copy the network into the target network

Source: Neuromatch Academy, W3D4 bonus tutorial, section 2, after Mnih et al., Nature 518:529 (2015).

Differs from the text in (book/dqn_gridworld.md tells what each is worth):

                here                                       text
    loss        values [B] against targets [B]             [B, 1] against [B]: every value against every target
    last state  where the agent ended                      the start
    games       64 side by side, 3,000 in all              one after another, 500
    fitting     4 minibatches of 64 per 64 steps           1 minibatch of 10 per step
    optimizer   Adam 0.003, halved every 1,000 updates     Adam 0.0005
    exploration random for 5,000 steps, then epsilon 0.5   epsilon 0.25

With one thing of the text at a time, two seeds each: its loss finds one of four ways on Simple and Obstacle, 2 and 5
of RandomGoal's 49; epsilon, a constant learning rate, no random start and no target network all find every one.

    python recipes/dqn_gridworld.py --env_id=grids/Obstacle-v0      (or grids/Simple-v0, grids/RandomGoal-v0)

On 5 of 5 seeds each: Simple and Obstacle the shortest way, RandomGoal all 49 goals; 11.9, 17.5 and 14.3 s of
training (medians; book/results/five_seeds.md; two cores of a Xeon at 2.5 GHz).
"""

from __future__ import annotations

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Fraction, Positive, Seed, UsageError, strict
from common.gridplots import plot_action_values, plot_grid, plot_policies, plot_state_values
from common.lazy import keras, tf
from common.replay import ReplayBuffer
from common.runlog import RunLog, interruptible
from envs.checked import make_vec


def build_q_network(obs_shape, num_actions):
    """Layers of walls, agent and goal, [B, height, width, 3] → q of every action, [B, A]."""
    obs = keras.Input(obs_shape, dtype="float32")
    x = keras.layers.ZeroPadding2D(1)(obs)
    x = keras.layers.Conv2D(32, 4, strides=2, activation="relu", kernel_initializer="he_uniform")(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu", kernel_initializer="he_uniform")(x)
    x = keras.layers.MaxPooling2D(3, strides=1)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(50, activation="relu", kernel_initializer="he_uniform")(x)
    return keras.Model(obs, keras.layers.Dense(num_actions, name="q")(x), name="q_network")


def build_optimizer(learning_rate, halving):
    """Adam; its learning rate halves every `halving` updates, so that at the end the values come to rest."""
    return keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(learning_rate, halving, 0.5))


def td_target(reward, discount, next_q):
    """reward [B], discount [B] (0 where terminated), next_q [B, A] → reward plus the discounted best of next_q, [B]."""
    best = tf.reduce_max(next_q, axis=-1)  # [B]
    assert reward.shape == discount.shape == best.shape
    return reward + discount * best


def squared_error(y, q):
    """Mean of (y - q)²: targets [B], values [B] → []."""
    assert y.shape == q.shape  # [B] against [B, 1] would set every value against every target
    return tf.reduce_mean((y - q) ** 2)


def make_act(model):
    """Compiled: obs [N, ...] → the action with the highest q, [N]."""

    @tf.function
    def act(obs):
        return tf.argmax(model(obs), axis=-1)

    return act


def make_update(model, target, optimizer, gamma):
    """Compiled: one gradient step on each of K minibatches, [K, B, ...] → mean loss."""
    optimizer.build(model.trainable_variables)

    @tf.function  # without XLA, whose convolutions are slow on a CPU
    def update(obs, action, reward, next_obs, terminated):
        total = 0.0
        for k in tf.range(len(obs)):
            # (3) Target.
            y = td_target(reward[k], gamma * (1 - terminated[k]), target(next_obs[k]))  # [B]
            # (4) Fit.
            with tf.GradientTape() as tape:
                q = tf.gather(model(obs[k]), action[k], axis=1, batch_dims=1)  # [B, A] → [B]
                loss = squared_error(y, q)
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
            total += loss
        return total / len(obs)

    return update


def due(count, interval, batch):
    """Multiples of `interval` among the last `batch` counts: `count % interval == 0`, where counts come in batches."""
    return count // interval - (count - batch) // interval


def shortest_ways(grid):
    """Fewest steps from the start to every cell, [cells]; as many as there are cells where no way leads."""
    far = grid.walls.size
    steps = np.where(np.arange(far) == grid.start, 0, far)
    for _ in range(far):  # breadth first: each round goes one step further, though not from a bomb
        np.minimum.at(steps, grid.next_cell, np.where(grid.bombs, far, steps + 1)[:, None])
    return steps


def evaluate(model, grid, goals):
    """One greedy game for each of `goals`: returns [G], lengths [G], whether the goal was reached [G]."""
    act, cells, playing = make_act(model), np.full(len(goals), grid.start), np.ones(len(goals), bool)
    returns, lengths = np.zeros(len(goals)), np.zeros(len(goals), int)
    for _ in range(grid.max_steps):
        landed, reward, terminated = grid.step(cells, goals, act(grid.observe(cells, goals)))
        cells = np.where(playing, landed, cells)
        returns += reward * playing
        lengths += playing
        playing &= ~terminated
    return returns, lengths, cells == goals


def draw(model, grid, goal, epsilon, rng, folder):
    """Pictures for one goal: the grid and a state, v(s), q(s, a), the greedy policy beside the one that explored."""
    moves, cells = grid.task.moves, np.flatnonzero(~grid.walls & (np.arange(grid.walls.size) != goal))
    q = np.full((grid.walls.size, len(moves)), np.nan)  # neither a wall nor the goal has a value to show
    q[cells] = model(grid.observe(cells, np.full(len(cells), goal)))
    greedy, explore = q.argmax(-1), rng.random(len(q)) < epsilon
    behaviour = np.where(explore, rng.integers(len(moves), size=len(q)), greedy)
    start, second = (grid.letters(cell, goal) for cell in (grid.start, grid.next_cell[grid.start, greedy[grid.start]]))
    q, greedy, behaviour = (array.reshape(*grid.shape, *array.shape[1:]) for array in (q, greedy, behaviour))
    plot_grid(folder / "grid.png", start, second)
    plot_state_values(folder / "state_values.png", start, q.max(-1))
    plot_action_values(folder / "action_values.png", start, q, moves, epsilon)
    plot_policies(folder / "policy.png", start, {"greedy": greedy, f"epsilon {epsilon}": behaviour}, moves)


def train(
    env_id: str = "grids/Simple-v0",
    episodes: Count = 3000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    num_envs: Count = 64,
    max_steps: Count = 50,
    learning_rate: Positive = 3e-3,
    halving: Count = 1000,
    buffer_size: Count = 20_000,
    learning_starts: Count = 5000,
    epsilon: Fraction = 0.5,
    minibatches: Count = 4,
    batch_size: Count = 64,
    gamma: Fraction = 0.9,
    target_interval: Count = 25,
    save_interval: Count = 20_000,
) -> None:
    """Train a Deep Q-Network on a grid world and save it as a Keras model.

    Args:
        env_id: grids/Simple-v0, grids/Obstacle-v0, grids/RandomGoal-v0, or Gridworld-v0 with its bombs.
        episodes: whole games to play, over all agents together; those that end with the last one count, too.
        seed: of the network, the goals, exploration and sampling.
        logdir: folder of the run; runs/dqn_gridworld/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_envs: agents, each in a world of its own.
        max_steps: length at which a game is truncated.
        learning_rate: of Adam, at first, per update.
        halving: updates in which the learning rate falls to its half.
        buffer_size: steps that the replay memory keeps.
        learning_starts: random steps before the first update.
        epsilon: probability of a random action.
        minibatches: updates between two moves of all agents.
        batch_size: steps per minibatch.
        gamma: discount per step.
        target_interval: updates between two copies into the target network.
        save_interval: steps between two checkpoints.
    """
    arguments = locals()
    if learning_starts > buffer_size:
        raise UsageError(f"--learning_starts={learning_starts} is larger than --buffer_size={buffer_size}")

    # Set up.
    env_kwargs = {"observation": "grid", "max_steps": max_steps}
    worlds = make_vec(env_id, num_envs, "grids", **env_kwargs)
    grid, num_actions = worlds.grid, int(worlds.single_action_space.n)
    memory = ReplayBuffer(buffer_size, worlds.single_observation_space, worlds.single_action_space)
    log = RunLog("dqn_gridworld", arguments, columns=("mean_loss",), env_kwargs=env_kwargs)
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    shape = worlds.single_observation_space.shape
    model, target = build_q_network(shape, num_actions), build_q_network(shape, num_actions)
    target.set_weights(model.get_weights())
    optimizer = build_optimizer(learning_rate, halving)
    act, update = make_act(model), make_update(model, target, optimizer, gamma)
    obs, _ = worlds.reset(seed=int(rng.integers(2**31)))
    ended = np.zeros(num_envs, bool)
    score, length, sum_loss = np.zeros(num_envs), np.zeros(num_envs, int), np.zeros(num_envs)
    step, updates, loss = 0, 0, 0.0

    # Every checkpoint holds all that the loop changes.
    identity = {"recipe": "dqn_gridworld", "env_id": env_id}
    tensors = {"model": model, "target": target, "optimizer": optimizer}

    def save():
        state = {"step": step, "updates": updates, "rng": rng.bit_generator.state}
        state.update(worlds=worlds.state(), log=log.state())
        games = {"ended": ended, "score": score, "length": length, "sum_loss": sum_loss}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state, {**memory.state(), **games})

    if log.resumed:
        state, arrays = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, updates, rng.bit_generator.state = state["step"], state["updates"], state["rng"]
        obs = worlds.load(state["worlds"])
        ended, score, length, sum_loss = (arrays[name] for name in ("ended", "score", "length", "sum_loss"))
        memory.load(arrays)
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too
        log.save(model)

    with log, interruptible() as interrupted:
        while log.episode < episodes and not interrupted():
            # (1) Act.
            learning = memory.is_ready(learning_starts)
            explore = rng.random(num_envs) < (epsilon if learning else 1)
            action = np.where(explore, rng.integers(num_actions, size=num_envs), act(obs))
            next_obs, reward, terminated, truncated, _ = worlds.step(action)
            playing, ended = ~ended, terminated | truncated  # the step after an end only resets
            step += int(playing.sum())

            # (2) Remember.
            memory.add(*(rows[playing] for rows in (obs, action, reward, next_obs, terminated)))
            obs = next_obs

            # Learn from what is remembered.
            if learning:
                loss = float(update(*memory.sample((minibatches, batch_size), rng)))
                if not np.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss} at step {step}; the last good checkpoint is kept")
                updates += minibatches
                # (5) Copy.
                if due(updates, target_interval, minibatches):
                    target.set_weights(model.get_weights())

            # Report.
            score += reward
            length += playing
            sum_loss += loss * playing
            for i in np.flatnonzero(ended):
                log.log_episode(step, score[i], length[i], mean_loss=sum_loss[i] / length[i])
            score[ended] = length[ended] = sum_loss[ended] = 0
            if due(step, save_interval, playing.sum()):
                save()

        # Finish.
        save()
        log.save(model)
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    goals = grid.goals if grid.goal is None else np.array([grid.goal])
    returns, lengths, reached = evaluate(model, grid, goals)
    shortest = shortest_ways(grid)[goals]
    log.save_evaluation(returns=returns.tolist(), lengths=lengths.tolist(), shortest=shortest.tolist())
    draw(model, grid, goals[-1], epsilon, rng, log.dir)
    ways, (row, column) = (reached & (lengths == shortest)).sum(), divmod(int(goals[-1]), grid.shape[1])
    print(f"{env_id}: {reached.sum()} of {len(goals)} goals reached, {ways} by a shortest way; ", end="")
    print(f"mean return {returns.mean():.2f} in {lengths.mean():.2f} steps")
    print(f"pictures        {log.dir / '*.png'}, of the goal in row {row}, column {column}")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
