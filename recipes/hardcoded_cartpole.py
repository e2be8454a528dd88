r"""A hand-written policy for the pole: push towards the side to which it leans. Every learner must beat it.

Nothing is learnt here: the policy is a single comparison, and it plays many games. The score of a network means little
until one knows the score of this comparison.

    (1) play whole games; push right when the pole leans right, and left otherwise
    (2) report the mean, deviation, minimum and maximum of their returns

Source: Géron, Hands-On Machine Learning, chapter 18 (https://github.com/ageron/handson-ml2).

Differs from the text in:

                here                                     text
    episode     up to the environment's 500 steps        up to 200
    model       saved as a network with fixed weights    a function only

The other recipes have an --eval_interval. This one needs none: every game is a greedy game of the policy.

    python recipes/hardcoded_cartpole.py

30 seeds, median (lowest to highest), one core of an Intel(R) Xeon(R) Processor, by `benchmarks/results.py`:

    mean return of 100 greedy games  42.285 (40.77 to 43.69); 30 of 30 at 40 or more
    games                            100
    steps                            4,228 (4,077 to 4,369)
    training                         0.042 (0.036 to 0.051) s
    whole process                    4.755 (4.27 to 4.98) s
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import fire
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

from common.cli import Count, Seed, UsageError, strict, validated
from common.files import read_episodes
from common.lazy import keras
from common.run import Run
from envs.checked import make

OBS_SIZE, ANGLE = 4, 2  # cart position, cart velocity, angle of the pole, its angular velocity


def choose(obs):
    """Observation [4] → 1 (push right) if the pole leans right, else 0 (push left)."""
    return int(obs[ANGLE] > 0)


def build_policy():
    """The same choice as a network: observations [B, 4] → logits [B, 2], which are minus and plus the angle."""
    obs = keras.Input((OBS_SIZE,))
    logits = keras.layers.Dense(2, use_bias=False, name="logits")
    policy = keras.Model(obs, logits(obs), name="hardcoded_policy")
    kernel = np.zeros((OBS_SIZE, 2))
    kernel[ANGLE] = -1, 1
    logits.set_weights([kernel])
    return policy


@validated
def train(
    env_id: str = "CartPole-v1",
    episodes: Count = 100,
    seed: Seed = 0,
    logdir: str = "",
    resume: bool = False,
    env_kwargs: dict = None,
) -> Path:
    """Play CartPole with a hand-written policy. Nothing is trained, but the run has its folder like any other.

    Args:
        env_id: CartPole-v1 or CartPole-v0.
        episodes: games to play.
        seed: random seed of the environment.
        logdir: folder of the run; runs/hardcoded_cartpole/<date-time> if empty.
        resume: continue the run in logdir from its last save.
        env_kwargs: arguments of the environment, as JSON, such as '{"name": 1}'.
    """
    run = Run("hardcoded_cartpole", locals())
    env = make(env_id, "vectors", run.env_kwargs)
    if not isinstance(env.unwrapped, CartPoleEnv):
        raise UsageError(f"--env_id={env_id}: this policy knows CartPole only")
    rng = np.random.default_rng(seed)
    carry = run.begin(model=build_policy(), rng=rng, step=0)

    with closing(env), run:
        while run.episode < episodes and not run.interrupted:
            # (1) Play.
            obs, _ = env.reset(seed=int(rng.integers(2**31)))
            episode_return = length = ended = 0
            while not ended:
                obs, reward, terminated, truncated, _ = env.step(choose(obs))
                episode_return, length, ended = episode_return + reward, length + 1, terminated or truncated
            carry.step = run.log_games(carry.step, [episode_return], [length])

    # (2) Report.
    scores = read_episodes(run.dir)["episode_return"]
    run.note(scores=scores.tolist())
    statistics = f"{scores.mean():.2f} ± {scores.std():.2f}, {scores.min():.0f} to {scores.max():.0f}"
    print(f"{env_id}: {statistics}, {len(scores)} games")
    run.tell()
    return run.dir


if __name__ == "__main__":
    fire.Fire(strict(train))
