"""Play with a trained agent: how well it does over whole games, and what that looks like.

    python recipes/play.py --run=runs/dqn_atari/<date-time> --episodes=100
    python recipes/play.py --model=models/dqn_atari_pong.keras --video
    python recipes/play.py --run=runs/q_table_frozenlake/<date-time> --text

`--run` takes the folder of any recipe's run, `--model` a model with its card (`.json`) beside it, or with `--env_id`.
A film shows the games from the first on; of Atari it shows what the agent sees.
"""

from __future__ import annotations

from pathlib import Path

import fire
import numpy as np

from common.cli import Count, Fraction, Seed, UsageError, strict
from common.film import check_display, show, write_film
from common.lazy import tf
from common.saved import load_policy, read_settings
from envs.atari import game_over
from envs.remake import is_atari, remake


def make_act(model, epsilon, rng):
    """obs [N, ...] → actions [N]: greedy, with probability `epsilon` random ones drawn with `rng`."""
    greedy = tf.function(lambda obs: tf.argmax(model(obs), axis=-1))

    def act(obs):
        action = greedy(obs).numpy()  # [N]
        explore = rng.random(len(action)) < epsilon
        return np.where(explore, rng.integers(model.output_shape[-1], size=len(action)), action)

    return act


def evaluate(worlds, act, seed):
    """Returns and lengths of one whole game in each environment; both [N]."""
    obs, _ = worlds.reset(seed=seed)
    returns, lengths = np.zeros(worlds.num_envs), np.zeros(worlds.num_envs, int)
    playing = np.ones(worlds.num_envs, bool)
    while playing.any():
        obs, reward, terminated, truncated, info = worlds.step(act(obs))
        returns += reward * playing
        lengths += playing
        playing &= ~game_over(terminated, truncated, info)
    return returns, lengths


def make_world(env_id, env_kwargs, text):
    """One environment to be shown, as text or in pictures; UsageError where it cannot be."""
    mode = "ansi" if text else "rgb_array"
    world = remake(env_id, env_kwargs, 1)  # asked first, for some cannot be made with a mode they do not know
    if mode not in (["rgb_array"] if is_atari(env_id) else world.metadata.get("render_modes", [])):
        raise UsageError(f"{env_id} cannot be shown {'as text' if text else 'in pictures'}")
    if is_atari(env_id):
        return world
    world.close()
    return remake(env_id, env_kwargs, 1, mode)


def watch(world, act, seed, picture):
    """Generator of pictures of one game, `picture(world, obs)` of each step; `world` holds one environment."""
    obs, _ = world.reset(seed=seed)
    ended = False
    yield picture(world, obs)
    while not ended:
        obs, _, terminated, truncated, info = world.step(act(obs))
        ended = game_over(terminated, truncated, info)[0]
        yield picture(world, obs)


def rendered(world, obs):
    """What the environment shows of itself."""
    return world.render()[0]


def seen(world, obs):
    """What the agent sees of an Atari game, four times as large: [336, 336, 3] bytes."""
    return np.repeat(obs[0, -1].repeat(4, axis=0).repeat(4, axis=1)[..., None], 3, axis=-1)


def play(
    run: str = "",
    model: str = "",
    env_id: str = "",
    episodes: Count = 100,
    epsilon: Fraction = 0.0,
    seed: Seed = 2**29,
    video: bool = False,
    video_episodes: Count = 1,
    render: bool = False,
    text: bool = False,
) -> None:
    """Play whole games with a trained model and print mean, deviation, minimum, maximum and length.

    Args:
        run: folder of a run; its model.keras is played in the environment of its config.json.
        model: a .keras file instead, with its card beside it.
        env_id: environment for a model without a card.
        episodes: whole games to play.
        epsilon: probability of a random action; 0 is greedy.
        seed: of the environments and the random actions; training never uses the default.
        video: write play.mp4 and play.gif, into the run's folder or beside you.
        video_episodes: games in the film, in the window or in the text.
        render: show the games in a window.
        text: print the games as text, where the environment can.
    """
    if bool(run) == bool(model):
        raise UsageError("one of --run=DIR and --model=FILE is wanted")
    if text and (video or render):
        raise UsageError("--text stands alone: it is not for --video or --render")
    if render:
        check_display()
    path = Path(run) / "model.keras" if run else Path(model)
    settings = Path(run) / "config.json" if run else path.with_suffix(".json")
    env_id, env_kwargs = (env_id, {}) if env_id else read_settings(settings)
    world = make_world(env_id, env_kwargs, text) if video or render or text else None
    worlds = remake(env_id, env_kwargs, episodes)
    network = load_policy(path, worlds.single_observation_space, worlds.single_action_space)

    returns, lengths = evaluate(worlds, make_act(network, epsilon, np.random.default_rng(seed)), seed)
    worlds.close()
    how = f"epsilon {epsilon}" if epsilon else "greedy"
    print(f"{env_id}: {returns.mean():.2f} ± {returns.std():.2f}, {returns.min():g} to {returns.max():g}, ", end="")
    print(f"length {lengths.mean():.1f}, {episodes} games, {how}")

    # Watch.
    if world:
        fps = 15 if is_atari(env_id) else world.metadata.get("render_fps", 10)  # an Atari action lasts 4 of 60 frames
        picture = seen if is_atari(env_id) else rendered

        def pictures():
            act = make_act(network, epsilon, np.random.default_rng(seed))
            for game in range(video_episodes):
                yield from watch(world, act, seed + game, picture)

        if text:
            print(*pictures(), sep="\n")
        if render:
            show(pictures(), fps)
        if video:
            film, gif = write_film(pictures(), Path(run), fps)
            print(f"film            {film}\nin short        {gif}")
        world.close()


if __name__ == "__main__":
    fire.Fire(strict(play))
