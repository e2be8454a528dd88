r"""REINFORCE: learn to balance a pole by making more likely what went better than usual.

A small network gives each action a probability. It plays several games as it is; then every action that more reward
than usual followed is made more likely, every other one less, and the games are forgotten.

    (1) play `num_envs` whole games, every action drawn with its probability
    (2) return of each step: its reward plus gamma times the return of the step after it
    (3) advantage: the returns of all games together, less their mean, divided by their deviation
    (4) climb the mean of advantage * grad log pi(action | obs)

Source: Géron, Hands-On Machine Learning, chapter 18, after Williams, Machine Learning 8:229 (1992).

Differs from the text in (book/reinforce_cartpole.md tells what each is worth):

                here                                     text
    returns     summed from the last step back           the rewards before it taken in the wrong order
    advantage   standardised over all games together     game by game, so that a good and a bad game look alike
    gradient    of the weighted mean, once per update    of every step alone, weighted and averaged afterwards
    games       16 per update, up to 500 steps           5 per update, up to 200 steps
    gamma       0.99                                     0.95
    optimizer   Adam 0.02                                Adam 0.01
    output      a logit per action                       the probability of the first of two

With one thing of the text at a time, CartPole-v1 is solved after, median of five seeds: here 608 games, advantage
720, games 340, one group of five after the other, gamma 720, optimizer 1,056; with these four 990. The text's order
of rewards does no harm where every reward is 1; its gradients allow 153 steps/s, one per update 10,635.

    python recipes/reinforce_cartpole.py

Solves CartPole-v1, a mean of 475 over 100 games, on every one of five seeds: 608 games, 133,789 steps, 10.1 (8.4 to
11.8) s of training, 15 s in all; medians, two cores of a Xeon at 2.5 GHz (`benchmarks/five_seeds.py`).

A game that the time limit ends counts as if nothing came after: there is no critic to say what would have.
"""

from __future__ import annotations

import fire
import numpy as np

from common import checkpoint
from common.cli import Count, Fraction, Natural, Positive, Seed, strict
from common.lazy import keras, tf
from common.networks import mlp
from common.runlog import RunLog, interruptible
from envs.checked import make_vec


def build_policy(obs_size, num_actions, units=16):
    """Observations [B, D] → logits of every action, [B, A]."""
    obs = keras.Input((obs_size,))
    logits = keras.layers.Dense(num_actions, name="logits")(mlp(obs, (units,), activation="elu"))
    return keras.Model(obs, logits, name="policy")


def discounted_returns(reward, gamma):
    """Rewards [T, ...] of games that run along the first axis → the discounted sum from each step on, [T, ...]."""
    returns = np.zeros_like(reward)
    following = np.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        following = returns[t] = reward[t] + gamma * following
    return returns


def standardize(values):
    """Less the mean, divided by the population deviation; [B] → [B]."""
    return (values - values.mean()) / (values.std() + 1e-8)


def policy_gradient_loss(logits, action, advantage):
    """Minus the mean of advantage * log pi(action): logits [B, A], action [B], advantage [B] → []."""
    log_prob = -tf.nn.sparse_softmax_cross_entropy_with_logits(action, logits)  # [B]
    assert log_prob.shape == advantage.shape
    return -tf.reduce_mean(advantage * log_prob)


def make_act(policy):
    """Compiled: obs [N, D] → logits [N, A]."""
    return tf.function(lambda obs: policy(obs))


def make_update(policy, optimizer):
    """Compiled: one gradient step on all steps of several games → loss."""
    optimizer.build(policy.trainable_variables)

    obs_size = policy.input_shape[1]
    batch = [tf.TensorSpec([None, obs_size]), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None])]

    @tf.function(input_signature=batch)  # games differ in length, so B is left open and nothing is traced twice
    def update(obs, action, advantage):
        with tf.GradientTape() as tape:
            loss = policy_gradient_loss(policy(obs), action, advantage)
        optimizer.apply(tape.gradient(loss, policy.trainable_variables), policy.trainable_variables)
        return loss

    return update


def play(worlds, act, rng):
    """One whole game in each of N environments, every action drawn with its probability.

    Returns:
        obs [T, N, D], action [T, N], reward [T, N], playing [T, N]; a game that is over waits, `playing` false.
    """
    obs, _ = worlds.reset(seed=int(rng.integers(2**31)))
    playing = np.ones(worlds.num_envs, bool)
    steps = []
    while playing.any():
        logits = act(obs).numpy()
        action = (logits + rng.gumbel(size=logits.shape)).argmax(-1)  # draws from softmax(logits), Gumbel 1954
        next_obs, reward, terminated, truncated, _ = worlds.step(action)
        steps.append((obs, action, (reward * playing).astype(np.float32), playing))
        obs, playing = next_obs, playing & ~(terminated | truncated)
    return [np.stack(column) for column in zip(*steps, strict=True)]


def evaluate(policy, env_id, games, seed):
    """Returns of `games` whole games in which the most probable action is taken; [games]."""
    worlds = make_vec(env_id, games, "vectors")
    act = make_act(policy)
    obs, _ = worlds.reset(seed=seed)
    scores, playing = np.zeros(games), np.ones(games, bool)
    while playing.any():
        obs, reward, terminated, truncated, _ = worlds.step(act(obs).numpy().argmax(-1))
        scores += reward * playing
        playing &= ~(terminated | truncated)
    worlds.close()
    return scores


def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 3_000,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    num_envs: Count = 16,
    units: Count = 16,
    learning_rate: Positive = 0.02,
    gamma: Fraction = 0.99,
    solved_at: float = 475.0,
    save_interval: Count = 10,
    eval_episodes: Natural = 100,
) -> None:
    """Train a policy with REINFORCE until it balances the pole, and save it as a Keras model.

    Args:
        env_id: an environment that shows a vector and has discrete actions.
        episodes: whole games to play at most, rounded up to whole updates.
        seed: of the network, the environments and the actions.
        logdir: folder of the run; runs/reinforce_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last checkpoint.
        num_envs: games per update, played side by side.
        units: width of the hidden layer.
        learning_rate: of Adam, per update.
        gamma: discount per step.
        solved_at: mean return of the last 100 games at which training ends.
        save_interval: updates between two checkpoints.
        eval_episodes: games played greedily at the end; 0 for none.
    """
    arguments = locals()

    # Set up.
    worlds = make_vec(env_id, num_envs, "vectors")
    log = RunLog("reinforce_cartpole", arguments, columns=("loss",))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    policy = build_policy(worlds.single_observation_space.shape[0], int(worlds.single_action_space.n), units)
    optimizer = keras.optimizers.Adam(learning_rate)
    act, update = make_act(policy), make_update(policy, optimizer)
    step = updates = 0

    # Every checkpoint lies between two updates, when no game is on: it holds all that the loop carries over.
    identity = {"recipe": "reinforce_cartpole", "env_id": env_id}
    tensors = {"model": policy, "optimizer": optimizer}

    def save():
        state = {"step": step, "updates": updates, "rng": rng.bit_generator.state, "log": log.state()}
        checkpoint.save(log.dir / "checkpoint", step, identity, tensors, state)

    if log.resumed:
        state, _ = checkpoint.restore(log.dir / "checkpoint", identity, tensors)
        step, updates, rng.bit_generator.state = state["step"], state["updates"], state["rng"]
        log.load(state["log"])
    else:
        save()  # a run that is killed early can be resumed, too

    with log, interruptible() as interrupted:
        while log.episode < episodes and log.mean_of_last(100) < solved_at and not interrupted():
            # (1) Play.
            obs, action, reward, playing = play(worlds, act, rng)

            # (2) Returns.
            returns = discounted_returns(reward, gamma)

            # (3) Advantage.
            advantage = standardize(returns[playing])

            # (4) Ascend.
            loss = float(update(obs[playing], action[playing], advantage))
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss} at step {step}; the last good checkpoint is kept")
            updates += 1

            # Report.
            for episode_return, length in zip(reward.sum(0), playing.sum(0), strict=True):
                step += int(length)
                log.log_episode(step, episode_return, length, loss=loss)
            if updates % save_interval == 0:
                save()

        # Finish.
        save()
        log.save(policy)
    worlds.close()
    if interrupted():
        raise KeyboardInterrupt
    solved = "solved" if log.mean_of_last(100) >= solved_at else "not solved"
    print(f"{env_id}: {solved} after {log.episode} games, {step:,} steps and {log.seconds:.1f} s")
    if eval_episodes:
        scores = evaluate(policy, env_id, eval_episodes, (seed + 2**29) % 2**30)
        log.save_evaluation(scores=scores.tolist())
        print(f"{env_id}: {scores.mean():.2f} ± {scores.std():.2f}, {eval_episodes} greedy games")
    log.tell_what_is_there()


if __name__ == "__main__":
    fire.Fire(strict(train))
