r"""Neural evolutionary agent: play many games by chance, and learn from the best of them as if they were lessons.

A brain sees the grid and says how likely each action is. In every generation it plays a few hundred games; the actions
of the best games are what it is then taught, as in supervised learning. This is the cross-entropy method.

    (1) roll out: a generation of games, every action drawn with its probability
    (2) gather the elites: the games whose reward reaches a percentile of all
    (3) fit: make the elites' actions likelier where they were taken, by cross-entropy on the logits

Source: Palanisamy, TensorFlow 2 Reinforcement Learning Cookbook, chapter 1; the method is in Rubinstein, Methodology
and Computing in Applied Probability 1:127 (1999).

Differs from the text in (book/neural_evolutionary_agent.md tells what each is worth):

                here                                      text
    drawing     from softmax(logits)                      from log(logits), which is NaN where a logit is negative
    loss        cross-entropy of logits                   cross-entropy that takes logits for probabilities
    numbers     float32, codes divided by 4               float16, codes as they are
    rollouts    300 a generation, side by side            70, one after another
    elites      from the 95th percentile                  from the 70th
    generations 30, so 9,000 episodes                     10, so 700
    optimizer   Adam 0.01                                 Adam 0.001
    observation a copy                                    the environment's own array, which changes under the caller

With one thing of the text at a time, the last generation earns, mean of five seeds: here 1.00, drawing -5.74, loss
-4.73, codes as they are 0.59, rollouts -0.14, elites -0.19, optimizer -1.42. As printed -8.07.

    python recipes/neural_evolutionary_agent.py

Mean reward of the last generation 0.993 to 1.000 on five seeds: 9,000 games, 233,374 steps, 4.4 (4.2 to 6.2) s of
training, 10 s in all; medians, two cores of a Xeon at 2.5 GHz (`benchmarks/five_seeds.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Percentage, Positive, Seed, UsageError, strict
from common.gridplots import plot_policies
from common.lazy import keras, tf
from common.networks import mlp
from common.runlog import RunLog, interruptible, read_episodes, replacing
from envs.checked import make_vec
from envs.grids import GridVectorEnv


class Trajectories(NamedTuple):
    """N games side by side; T is the length of the longest. A game that is over waits, `playing` false."""

    obs: np.ndarray  # [T, N, H, W]
    actions: np.ndarray  # [T, N]
    playing: np.ndarray  # [T, N] bool
    rewards: np.ndarray  # [N], of the whole game


def build_brain(obs_shape, action_dim):
    """The Brain: grids of codes [B, H, W] → logits of every action, [B, A]."""
    obs = keras.Input(obs_shape, dtype="uint8")
    hidden = mlp(keras.layers.Rescaling(1 / 4)(obs), (32,), activation="relu")  # 4 is the highest code, the goal's
    return keras.Model(obs, keras.layers.Dense(action_dim, name="logits")(hidden), name="brain")


def cross_entropy(logits, actions):
    """Mean of -log pi(action): logits [B, A], actions [B] → []."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(actions, logits)  # [B]
    return tf.reduce_mean(losses)


def make_update(brain, optimizer):
    """Compiled: one gradient step on a batch of lessons → loss."""
    optimizer.build(brain.trainable_variables)
    batch = [tf.TensorSpec([None, *brain.input_shape[1:]], tf.uint8), tf.TensorSpec([None], tf.int64)]

    @tf.function(input_signature=batch)  # the last batch is smaller, so B is left open and nothing is traced twice
    def update(obs, actions):
        with tf.GradientTape() as tape:
            loss = cross_entropy(brain(obs), actions)
        optimizer.apply(tape.gradient(loss, brain.trainable_variables), brain.trainable_variables)
        return loss

    return update


class Agent:
    """What acts and learns: a brain, its optimizer, and the chance by which it acts."""

    def __init__(self, brain, optimizer, rng):
        self.brain, self.rng = brain, rng
        self.think = tf.function(lambda obs: brain(obs))
        self.update = make_update(brain, optimizer)

    def get_action(self, obs):
        """Observations [N, H, W] → actions [N], drawn from softmax(logits)."""
        logits = self.think(obs).numpy()
        return (logits + self.rng.gumbel(size=logits.shape)).argmax(-1)  # Gumbel 1954

    def get_best_action(self, obs):
        """Observations [N, H, W] → the likeliest actions, [N]."""
        return self.think(obs).numpy().argmax(-1)

    def learn(self, obs, actions, epochs, batch_size):
        """Fit the lessons obs [S, H, W], actions [S], `epochs` times over in random order → mean loss."""
        losses = []
        for _ in range(epochs):
            order = self.rng.permutation(len(actions))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                losses.append(float(self.update(obs[rows], actions[rows])))
        return np.mean(losses)


def rollout(worlds, act, seed):
    """One whole game in each of N environments, acting with `act`: obs [N, H, W] → actions [N]; `Trajectories`."""
    obs, _ = worlds.reset(seed=seed)
    playing, rewards = np.ones(worlds.num_envs, bool), np.zeros(worlds.num_envs)
    steps = []
    while playing.any():
        actions = act(obs)
        steps.append((obs, actions, playing))
        obs, reward, terminated, truncated, _ = worlds.step(actions)
        rewards += reward * playing
        playing = playing & ~(terminated | truncated)
    return Trajectories(*(np.stack(column) for column in zip(*steps, strict=True)), rewards)


def gather_elite_xp(trajectories, elitism_criterion):
    """The steps of the games at or above a percentile of reward → obs [S, H, W], actions [S], the threshold."""
    threshold = np.percentile(trajectories.rewards, elitism_criterion)
    lessons = trajectories.playing & (trajectories.rewards >= threshold)  # [T, N]
    return trajectories.obs[lessons], trajectories.actions[lessons], float(threshold)


def evaluate(act, env_id, games, seed):
    """Rewards of `games` whole games apart from training; [games]."""
    worlds = make_vec(env_id, games, "grids")
    rewards = rollout(worlds, act, seed).rewards
    worlds.close()
    return rewards


def plot_generations(folder, mean_rewards, elite_thresholds):
    """generations.png: mean reward and elite threshold of every generation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    generations = np.arange(1, len(mean_rewards) + 1)
    axes.plot(generations, mean_rewards, "r-", label="mean reward")
    axes.plot(generations, elite_thresholds, "g--", label="elite threshold")
    axes.set(xlabel="generation", ylabel="reward of a whole game")
    axes.legend()
    axes.grid(alpha=0.3)
    with replacing(folder / "generations.png") as temporary:
        figure.savefig(temporary, dpi=120)


def train(
    env_id: str = "Gridworld-v0",
    episodes: Count = 9000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    num_trajectory_rollouts: Count = 300,
    elitism_criterion: Percentage = 95.0,
    learning_rate: Positive = 0.01,
    fit_epochs: Count = 3,
    batch_size: Count = 128,
    save_interval: Count = 5,
) -> None:
    """Train an agent with a neural brain by imitation of its own best games, and save the brain as a Keras model.

    Args:
        env_id: a grid world that shows codes: Gridworld-v0.
        episodes: games in all, rounded up to whole generations; the text's num_epochs times its rollouts.
        seed: of the brain, the actions and the order of the lessons.
        logdir: folder of the run; runs/neural_evolutionary_agent/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_trajectory_rollouts: games of a generation, played side by side.
        elitism_criterion: percentile of reward from which a game is an elite.
        learning_rate: of Adam, per batch.
        fit_epochs: times that a generation's elites are gone through.
        batch_size: steps per gradient step.
        save_interval: generations between two checkpoints.
    """
    arguments = locals()

    # Set up.
    worlds = make_vec(env_id, num_trajectory_rollouts, "grids")
    if not isinstance(worlds, GridVectorEnv) or worlds.grid.observation != "codes":
        raise UsageError(f"--env_id={env_id}: a grid world that shows codes is wanted, Gridworld-v0")
    log = RunLog("neural_evolutionary_agent", arguments, columns=("generation", "elite_threshold", "loss"))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    brain = build_brain(worlds.single_observation_space.shape, int(worlds.single_action_space.n))
    optimizer = keras.optimizers.Adam(learning_rate)
    agent = Agent(brain, optimizer, rng)
    step = generation = 0

    # Every checkpoint lies between two generations, when no game is on: it holds all that the loop carries over.
    identity = {"recipe": "neural_evolutionary_agent", "env_id": env_id}
    tensors = {"model": brain, "optimizer": optimizer}

    def save():
        state = {"step": step, "generation": generation, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state)

    if log.resumed:
        state, _ = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, generation, rng.bit_generator.state = state["step"], state["generation"], state["rng"]
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too

    with log, interruptible() as interrupted:
        while log.episode < episodes and not interrupted():
            # (1) Roll out.
            trajectories = rollout(worlds, agent.get_action, seed=int(rng.integers(2**31)))

            # (2) Gather the elites.
            elite_obs, elite_actions, threshold = gather_elite_xp(trajectories, elitism_criterion)

            # (3) Fit.
            loss = agent.learn(elite_obs, elite_actions, fit_epochs, batch_size)
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {step}; the last good checkpoint is kept")

            # Report.
            generation += 1
            for reward, length in zip(trajectories.rewards, trajectories.playing.sum(0), strict=True):
                step += int(length)
                log.log_episode(step, reward, length, generation=generation, elite_threshold=threshold, loss=loss)
            if generation % save_interval == 0:
                save()

        # Finish.
        save()
        log.save(brain)
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    played = read_episodes(log.dir)
    mean_rewards = played["episode_return"].reshape(generation, -1).mean(1)
    thresholds = played["elite_threshold"].reshape(generation, -1)[:, 0]
    plot_generations(log.dir, mean_rewards, thresholds)
    sampled, greedy = (evaluate(act, env_id, 100, 2**29) for act in (agent.get_action, agent.get_best_action))
    log.save_evaluation(
        generation_mean=mean_rewards.tolist(),
        elite_threshold=thresholds.tolist(),
        sampled=sampled.tolist(),
        greedy=greedy.tolist(),
    )
    grid = worlds.grid
    cells = np.arange(grid.walls.size)
    policy = agent.get_best_action(grid.observe(cells, np.full(cells.size, grid.goal))).reshape(grid.shape)
    plot_policies(
        log.dir / "policy.png", grid.letters(grid.start, grid.goal), {"likeliest action": policy}, grid.task.moves
    )
    print(f"{env_id}: mean reward {mean_rewards[-1]:.3f} in generation {generation}; ", end="")
    print(f"100 games apart: sampled {sampled.mean():.3f}, likeliest actions {greedy.mean():.3f}")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
