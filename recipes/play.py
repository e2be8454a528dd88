"""Play with a trained agent: how well it does over whole games, and what that looks like.

    python recipes/play.py --run=runs/dqn_atari/<date-time> --episodes=100
    python recipes/play.py --model=models/dqn_atari_pong.keras --video
    python recipes/play.py --run=runs/q_table_frozenlake/<date-time> --text
    python recipes/play.py --run=runs/dqn_atari/<date-time> --beside=models/dqn_atari_pong.keras --video

`--run` takes the folder of any recipe's run. `--model` takes a model with its card (`.json`) beside it, or without a
card together with `--env_id`. A film has games of its own, from --seed on; for Atari it shows what the agent sees.
`--beside` names a second model, which plays the same starts in the right half of the film.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Probability, Seed, Size, UsageError, strict, validated
from common.evaluation import LONGEST, Scores, evaluate, make_greedy
from common.film import check_display, show, write_film
from common.saved import choose_world, load_policy, settings_of, unfinished
from envs.remake import remake


def make_shown(env_id, env_kwargs, text):
    """One environment that can be shown as text or in pictures, and a function of (env, obs) that gives them.

    Raises:
        UsageError: it cannot be shown.
    """
    mode = "ansi" if text else "rgb_array"
    env = remake(env_id, env_kwargs, 1)  # checked first: some refuse an unknown render mode
    if env.render_mode == mode:  # whatever was asked for
        return env, rendered
    if mode in env.metadata.get("render_modes", []):
        env.close()
        return remake(env_id, env_kwargs, 1, mode), rendered
    shape = env.single_observation_space.shape or ()
    if text or len(shape) != 3 or env.single_observation_space.dtype != np.uint8:
        raise UsageError(f"{env_id} cannot be shown {'as text' if text else 'in pictures'}")
    return env, seen


def watch(env, act, seed, picture, games):
    """Play one game and yield `picture(env, obs)` at each step; `env` is a vector of one environment.

    At the end of the game, or after `LONGEST` steps, its (return, length) is appended to the list `games`.
    """
    obs, _ = env.reset(seed=seed)
    episode_return, length, ended = 0.0, 0, False
    yield picture(env, obs)
    while not ended and length < LONGEST:
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        episode_return, length, ended = episode_return + float(reward[0]), length + 1, terminated[0] or truncated[0]
        yield picture(env, obs)
    games.append((episode_return, length))


def in_words(games):
    """What was shown: "2 games, return 500, length 500; return 312, length 312"; `games` are (return, length)."""
    scores = "; ".join(f"return {episode_return:g}, length {length}" for episode_return, length in games)
    return f"{len(games)} {'game' if len(games) == 1 else 'games'}{', ' if games else ''}{scores}"


def rendered(env, obs):
    """The environment's own picture or text."""
    return env.render()[0]


def seen(env, obs):
    """The newest frame that the agent sees, enlarged four times: [4 * height, 4 * width, 3] bytes."""
    return np.repeat(obs[0, -1].repeat(4, axis=0).repeat(4, axis=1)[..., None], 3, axis=-1)


def side_by_side(left, right):
    """Pictures of two games in one, with a gap between them; where one game is over, its last picture stays."""
    shown = [None, None]
    for pair in zip_longest(left, right):
        shown = [old if new is None else new for old, new in zip(shown, pair, strict=True)]
        height, _, channels = shown[0].shape
        yield np.hstack([shown[0], np.full((height, 8, channels), 128, np.uint8), shown[1]])


@validated
def play(
    run: str = "",
    model: str = "",
    beside: str = "",
    env_id: str = "",
    env_kwargs: dict = None,
    episodes: Size = 100,
    epsilon: Probability = 0.0,
    seed: Seed = 3 * 2**28,
    video: bool = False,
    video_episodes: Count = 1,
    render: bool = False,
    text: bool = False,
) -> Scores:
    """Play whole games with a trained model and print mean, deviation, minimum, maximum and length.

    Args:
        run: folder of a run; its model.keras is played in the environment of its config.json.
        model: a .keras file instead of a run, with its card (.json) beside it.
        beside: a .keras file for the same environment, which plays in the right half of the film or the window.
        env_id: environment for a model without a card, or for a run whose environment is in a module of yours.
        env_kwargs: arguments of the environment, as JSON; by default those of the run or the card, if it is the same.
        episodes: whole games to play.
        epsilon: probability of a random action; 0 is greedy.
        seed: random seed of the environments and of random actions.
        video: write play.mp4 and play.gif into the run's folder or, with --model, into the working directory.
        video_episodes: games in the film, in the window or in the text.
        render: show the games in a window.
        text: print the games as text, if the environment can.

    Returns:
        The scores of the games, without those of the film.
    """
    if bool(run) == bool(model):
        raise UsageError("one of --run=DIR and --model=FILE is wanted")
    if text and (video or render):
        raise UsageError("--text stands alone: it cannot be combined with --video or --render")
    if beside and not (video or render):
        raise UsageError("--beside is shown in a film or a window: it wants --video or --render")
    if render:
        check_display()
    path = Path(run) / "model.keras" if run else Path(model)
    settings = Path(run) / "config.json" if run else settings_of(path)
    env_id, env_kwargs = choose_world(settings, env_id, env_kwargs)
    shown, picture = make_shown(env_id, env_kwargs, text) if video or render or text else (None, None)
    envs = remake(env_id, env_kwargs, episodes)
    network = load_policy(path, envs.single_observation_space, envs.single_action_space)
    other = load_policy(Path(beside), envs.single_observation_space, envs.single_action_space) if beside else None
    if run and (warning := unfinished(Path(run))):
        print(warning)

    how = f"epsilon {epsilon}" if epsilon else "greedy"
    action_space = envs.single_action_space
    scores = evaluate(envs, make_greedy(network, epsilon, seed, action_space), seed, how)
    envs.close()
    print(f"{env_id}: {scores}, {how}")

    # Watch.
    if shown:
        fps = 15 if picture is seen else shown.metadata.get("render_fps", 10)  # an Atari action lasts 4/60 s
        games, games_beside = [], []
        second = make_shown(env_id, env_kwargs, text)[0] if beside else None

        def pictures():
            for game in range(video_episodes):
                player = network, epsilon, seed + game, action_space
                left = watch(shown, make_greedy(*player), seed + game, picture, games)  # of its own: it may remember
                if not beside:
                    yield from left
                else:
                    right = watch(second, make_greedy(other, *player[1:]), seed + game, picture, games_beside)
                    yield from side_by_side(left, right)

        if text:
            print(*pictures(), sep="\n")
            print(f"text            {in_words(games)}")
        if render:
            show(pictures(), fps)
            print(f"window          {in_words(games)}")
        if video:
            games.clear(), games_beside.clear()  # what the window showed
            film, gif = write_film(pictures(), Path(run), fps)
            right = f"; beside it {in_words(games_beside)}" if beside else ""
            print(f"film            {film}: {in_words(games)}{right}\nfirst 20 s      {gif}")
        shown.close()
        if beside:
            second.close()
    return scores


if __name__ == "__main__":
    fire.Fire(strict(play))
