"""What the differences of the two REINFORCE recipes from their texts are worth: games until CartPole is solved.

Solved: mean return of the last 100 games at least 475. One line per variant: how many seeds solved it within the limit,
and the median and range of their games; for those that did not, the best mean of 100 games.

    python benchmarks/reinforce_errata.py compare [--seeds=5] [--limit=2000] [--only=dropout]
    python benchmarks/reinforce_errata.py speed
"""

import time

import fire
import numpy as np

from common.lazy import keras, tf
from envs.checked import make_vec
from recipes import reinforce_cartpole as plain
from recipes import reinforce_dropout_cartpole as thinned


def together(returns, playing):
    """The recipes' advantage: standardised over all games of an update."""
    return plain.standardize(returns[playing])


def game_by_game(returns, playing):
    """The texts': every game standardised alone."""
    advantage = np.zeros_like(returns)
    for game in range(returns.shape[1]):
        on = playing[:, game]
        advantage[on, game] = plain.standardize(returns[on, game])
    return advantage[playing]


def play_and_learn(seed, num_envs=16, hidden_units=128, learning_rate=0.01, gamma=0.99, advantage=together):
    """Generator of the returns of the games of one update after the other: reinforce_cartpole."""
    envs, rng = make_vec("CartPole-v1", num_envs, "vectors"), np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    model = plain.build_policy(4, 2, hidden_units)
    act, update = plain.make_act(model), plain.make_update(model, keras.optimizers.Adam(learning_rate))
    while True:
        obs, action, reward, playing = plain.play(envs, act, rng)
        update(obs, action, advantage(plain.discounted_returns(reward, gamma), playing), playing)
        yield reward.sum(0)


def play_and_learn_with_dropout(
    seed, num_envs=16, learning_rate=0.01, dropout=0.6, clip=None, same_masks=True, advantage=together
):
    """The same of reinforce_dropout_cartpole; `same_masks` false draws new masks for the gradient."""
    envs, rng = make_vec("CartPole-v1", num_envs, "vectors"), np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    model = thinned.build_policy(4, 2, 128, dropout)
    act = thinned.make_act(model)
    update = thinned.make_update(model, keras.optimizers.Adam(learning_rate, clipvalue=clip))
    while True:
        mask_seed = rng.integers(2**31, size=2)
        thinned.seed_masks(model, mask_seed)
        obs, action, reward, playing = thinned.play(envs, act, rng)
        thinned.seed_masks(model, mask_seed if same_masks else rng.integers(2**31, size=2))
        update(obs, action, advantage(thinned.discounted_returns(reward, 0.99), playing), playing)
        yield reward.sum(0)


PLAIN = {
    "reinforce, as the recipe": {},
    "reinforce, standardised game by game": {"advantage": game_by_game},
    "reinforce, gamma 0.95": {"gamma": 0.95},
    "reinforce, 16 hidden units": {"hidden_units": 16},
    "reinforce, 5 games per update": {"num_envs": 5},
    "reinforce, all four, with the 5 hidden units of the chapter": {
        "advantage": game_by_game, "gamma": 0.95, "hidden_units": 5, "num_envs": 5,
    },
}  # fmt: skip
THINNED = {
    "dropout 0.6, as the recipe": {},
    "without dropout": {"dropout": 0.0},
    "dropout 0.6, other masks for the gradient": {"same_masks": False},
    "dropout 0.6, gradient clipped": {"clip": 1.0},
    "dropout 0.6, standardised game by game": {"advantage": game_by_game},
    "dropout 0.6, 1 game per update as in the text": {"num_envs": 1, "advantage": game_by_game},
    "without dropout, 1 game per update": {"num_envs": 1, "advantage": game_by_game, "dropout": 0.0},
}


def compare(seeds=5, limit=2000, only=""):
    """Print one line per variant, or for those alone whose names contain `only`."""
    for variants, learn in ((PLAIN, play_and_learn), (THINNED, play_and_learn_with_dropout)):
        for name, changes in variants.items():
            if only not in name:
                continue
            solved, best = [], []
            for seed in range(seeds):
                games, means = [], [0.0]
                for returns in learn(seed, **changes):
                    games.extend(returns)
                    if len(games) >= 100:
                        means.append(np.mean(games[-100:]))
                    if means[-1] >= 475 or len(games) >= limit:
                        break
                (solved if means[-1] >= 475 else best).append(len(games) if means[-1] >= 475 else max(means))
            text = f"{name}: solved by {len(solved)} of {seeds} seeds"
            if solved:
                text += f" after {np.median(solved):.0f} games ({min(solved)} to {max(solved)})"
            if best:
                text += f"; the others' best mean {np.mean(best):.0f} ({min(best):.0f} to {max(best):.0f})"
            print(text, flush=True)


def speed(steps=2000, rounds=3):
    """Steps per second, in turns: a gradient for every step as it is played, as in the text; and the recipe."""

    def per_step():
        env, policy = make_vec("CartPole-v1", 1, "vectors"), plain.build_policy(4, 2, 128)
        obs, _ = env.reset(seed=0)
        begin = time.perf_counter()
        for _ in range(steps):
            with tf.GradientTape() as tape:
                logits = policy(obs)
                action = tf.random.categorical(logits, 1)[:, 0]
                loss = plain.policy_gradient_loss(logits, action, tf.ones(1))
            tape.gradient(loss, policy.trainable_variables)
            obs, *_ = env.step(action.numpy())
        return steps / (time.perf_counter() - begin)

    def per_update():
        games = play_and_learn(0)
        next(games)
        begin, played = time.perf_counter(), 0
        while played < steps:
            played += sum(next(games))
        return played / (time.perf_counter() - begin)

    rates = np.array([(per_step(), per_update()) for _ in range(rounds)])
    for name, rate in zip(("a gradient per step", "a gradient per update"), rates.T, strict=True):
        print(f"{name}: {rate.mean():.0f} steps/s ({rate.min():.0f} to {rate.max():.0f})")
    ratio = rates[:, 1] / rates[:, 0]
    print(f"ratio: {ratio.mean():.1f} ({ratio.min():.1f} to {ratio.max():.1f})")


if __name__ == "__main__":
    fire.Fire({"compare": compare, "speed": speed})
