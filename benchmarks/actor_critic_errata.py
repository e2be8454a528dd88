"""What each repair of the two actor-critic texts is worth, and their exercises; mean and range over seeds.

    python benchmarks/actor_critic_errata.py [--part=all] [--seeds=5]

Parts: `tutorial` puts the TensorFlow tutorial's mistakes back into a version of it that runs and learns, `shared` and
`separate` do the same with the two recipes, `printed` is Neuromatch's setting, one game per update, with and without
its mistakes, `exercises` varies episodes, learning rate and gamma as Neuromatch's exercises 3.2.1 and 3.2.2 ask.
"""

import contextlib
import functools
import io
import tempfile

import fire
import gymnasium as gym
import numpy as np
import tutorial_actor_critic as tutorial

from common.files import read_episodes
from common.lazy import keras, tf
from recipes import actor_critic_cartpole as shared
from recipes import actor_critic_two_networks as separate

LIMIT = 3200  # games: several times what the slowest seed of either recipe takes


def solve(recipe, patches, **settings):
    """Scores of all games of one training, and whether it was solved, with functions of the recipe replaced."""
    before = {name: getattr(recipe, name) for name in patches}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        try:
            for name, function in patches.items():
                setattr(recipe, name, function)
            recipe.train(**{"episodes": LIMIT, "eval_episodes": 0, **settings}, logdir=f"{folder}/run")
        finally:
            for name, function in before.items():
                setattr(recipe, name, function)
        episodes = read_episodes(f"{folder}/run")
        return episodes, episodes["episode_return"][-100:].mean() >= 475


def spread(values, digits=0):
    """Mean (lowest to highest)."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def tell(recipe, name, seeds, patches=None, **settings):
    """One line: games until solved, where it was; score of the last 100 games; what the critic knew in mid-training."""
    runs = [solve(recipe, patches or {}, seed=seed, **settings) for seed in range(seeds)]
    games = [len(episodes["episode"]) for episodes, solved in runs if solved]
    last = [episodes["episode_return"][-100:].mean() for episodes, _ in runs]
    line = f"{name}: solved {len(games)} of {seeds}"
    line += f", after {spread(games)} games" if games else ""
    line += f"; last 100 games {spread(last)}"
    if "explained" in runs[0][0]:
        middle = [e["explained"][len(e["episode"]) // 4 : 3 * len(e["episode"]) // 4] for e, _ in runs]
        line += f"; explained by the critic {spread([np.mean(m) for m in middle], 2)}"
    print(line, flush=True)
    return runs


# The shared network's mistakes.
def baseline_trained_by_the_actor(logits, values, actions, returns):
    """`compute_loss` without the stop-gradient."""
    log_probs = -tf.nn.sparse_softmax_cross_entropy_with_logits(actions, logits)
    actor_loss = -tf.reduce_mean(log_probs * shared.standardize(returns - values))
    return actor_loss, tf.reduce_mean(shared.huber(returns - values))


def every_end_an_end(run_episodes):
    """A game that was truncated counts as one that terminated."""

    def run(*args):
        games = run_episodes(*args)
        return games._replace(terminated=tf.ones_like(games.terminated))

    return run


def no_end_an_end(run_episodes):
    """A game that terminated counts as one that was truncated."""

    def run(*args):
        games = run_episodes(*args)
        return games._replace(terminated=tf.zeros_like(games.terminated))

    return run


def returns_standardised_by_game(reward, playing, tail, gamma):
    """`get_expected_return` as the tutorial has it: no bootstrap, and every game brought to mean 0, deviation 1."""
    returns = original_returns(reward, playing, tf.zeros_like(tail), gamma)
    mask = tf.cast(playing, tf.float32)
    count = tf.reduce_sum(mask, 0)
    mean = tf.reduce_sum(mask * returns, 0) / count
    deviation = tf.sqrt(tf.reduce_sum(mask * (returns - mean) ** 2, 0) / count)
    return (returns - mean) / (deviation + np.finfo(np.float32).eps)


original_returns = shared.get_expected_return


def advantage_as_it_is(x):
    """Instead of `standardize`."""
    return x


# The separate networks' mistakes.
def critic_never_learns(compute_loss):
    """The critic's loss is there, but no gradient comes of it."""

    def compute(*args):
        actor_loss, critic_loss = compute_loss(*args)
        return actor_loss, tf.stop_gradient(critic_loss) + 0.0 * critic_loss

    return compute


def entropy_punished(compute_loss):
    """The text adds the entropy to what is minimised."""

    def compute(logits, values, actions, returns, entropy_weight):
        return compute_loss(logits, values, actions, returns, -entropy_weight)

    return compute


def errors_of_names():
    """What TensorFlow and Keras answer to names that the tutorial uses."""
    for text in (
        "tf.log(1.0)",
        "tf.reduce_std([1.0])",
        "tf.constant(0, 0)",
        "keras.losses.Reduction.SUM",
        "avg_reward",
    ):
        try:
            said = repr(eval(text, {"tf": tf, "keras": keras}))
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        print(f"{text}: {said}")


def of_the_tutorial(seeds, games=300):
    """The tutorial itself, one game per update."""
    errors_of_names()
    for variant in ("repaired", "return in the loop", "done not tested", "stop gradient"):
        with contextlib.redirect_stdout(io.StringIO()):
            last = [tutorial.train(seed, games, variant)[3] for seed in range(seeds)]
        print(f"tutorial, {variant}: score of the last 100 of {games} games {spread(last)}", flush=True)


def of_the_shared_network(seeds):
    """`actor_critic_cartpole.py` with one mistake or one setting of the text each."""
    this = functools.partial(tell, shared, seeds=seeds)
    this("shared, repaired")
    this("shared, the actor's loss trains the critic, too", patches={"compute_loss": baseline_trained_by_the_actor})
    this(
        "shared, a truncated game counts as terminated", patches={"run_episodes": every_end_an_end(shared.run_episodes)}
    )
    text = {"get_expected_return": returns_standardised_by_game, "standardize": advantage_as_it_is}
    this("shared, the returns of each game standardised, no bootstrap", patches=text)
    this("shared, nothing standardised", patches={"standardize": advantage_as_it_is})
    this("shared, rewards not scaled", reward_scale=1.0)
    this("shared, one game per update", num_envs=1)


def of_separate_networks(seeds):
    """`actor_critic_two_networks.py` with one mistake of the text each."""
    this = functools.partial(tell, separate, seeds=seeds)
    runs = this("separate, repaired")
    early = [first_above(episodes["episode_return"], 10) for episodes, _ in runs]
    print(f"separate, repaired: the mean of the last 10 games first reached 475 after {spread(early)} games")
    this("separate, the critic never learns", patches={"compute_loss": critic_never_learns(separate.compute_loss)})
    this("separate, rewards not scaled", reward_scale=1.0)
    this("separate, no entropy term (as printed, in effect)", entropy_weight=0.0)
    this("separate, entropy punished", patches={"compute_loss": entropy_punished(separate.compute_loss)})
    this("separate, bootstrap where the pole fell", patches={"run_episodes": no_end_an_end(separate.run_episodes)})
    this("separate, games truncated at 300", env_id="CartPole300-v1")


def first_above(scores, window, threshold=475):
    """Games until the mean of the last `window` scores is that high."""
    means = np.convolve(scores, np.ones(window) / window, "valid")
    return int(np.argmax(means >= threshold)) + window


def of_the_printed_setting(seeds):
    """Neuromatch's: one game per update, 500 games."""
    this = functools.partial(tell, separate, seeds=seeds, num_envs=1, episodes=500)
    this("one game per update, repaired")
    this("one game per update, repaired, Adam 1e-3", learning_rate=1e-3)
    detached = {"compute_loss": critic_never_learns(separate.compute_loss)}
    this("one game per update, the critic never learns", patches=detached)
    printed = {**detached, "run_episodes": no_end_an_end(separate.run_episodes)}
    settings = {"learning_rate": 1e-3, "reward_scale": 1.0, "entropy_weight": 0.0, "env_id": "CartPole300-v1"}
    this("one game per update, as printed", patches=printed, **settings)


def of_the_exercises(seeds):
    """What more episodes, other learning rates and other discounts do."""
    this = functools.partial(tell, separate, seeds=seeds)
    settings = {"episodes": 3000, "num_envs": 1, "learning_rate": 1e-3}
    runs = this("exercise 3.2.1, one game per update, Adam 1e-3, up to 3000 games", **settings)
    early = [episodes["episode_return"][400:500].mean() for episodes, _ in runs]
    print(f"exercise 3.2.1, the same, games 401 to 500: {spread(early)}", flush=True)
    for learning_rate in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2):
        this(f"exercise 3.2.2, --learning_rate={learning_rate}", learning_rate=learning_rate)
    for gamma in (0.9, 0.95, 0.99, 0.999, 1.0):
        this(f"exercise 3.2.2, --gamma={gamma}", gamma=gamma)


PARTS = {
    "tutorial": of_the_tutorial, "shared": of_the_shared_network, "separate": of_separate_networks,
    "printed": of_the_printed_setting, "exercises": of_the_exercises,
}  # fmt: skip


def compare(part="all", seeds=5):
    """Run one part or all."""
    entry = gym.spec("CartPole-v1")
    gym.register(
        "CartPole300-v1", entry.entry_point, max_episode_steps=300, vector_entry_point=entry.vector_entry_point
    )
    for name, measure in PARTS.items():
        if part in (name, "all"):
            measure(seeds)


if __name__ == "__main__":
    fire.Fire(compare)
