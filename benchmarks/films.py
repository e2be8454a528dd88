"""A short film of each model in models/, for its page: book/results/<recipe or model>/film.gif.

One greedy game, its first ten seconds at ten pictures a second, 240 pixels wide. Pong's film has the start of a run of
`make demo` on its left, if its model is given.

    python benchmarks/films.py [--only=NAME] [--beginner=MODEL]
"""

import itertools
import sys
from pathlib import Path

import fire
import imageio.v2 as imageio
import numpy as np
from PIL import Image

from common.evaluation import make_greedy
from common.files import replacing
from common.saved import choose_world, load_policy, settings_of
from recipes.play import make_shown, side_by_side, watch

ROOT = Path(__file__).parent.parent
WIDTH, RATE, SECONDS, SEED = 240, 10, 10, 3 * 2**28


def game(path, settings):
    """Pictures of a greedy game of a model, and how many of them are a second."""
    env_id, env_kwargs = choose_world(settings, "", None)
    env, picture = make_shown(env_id, env_kwargs, text=False)
    network = load_policy(path, env.single_observation_space, env.single_action_space)
    act = make_greedy(network, 0.0, SEED, env.single_action_space)
    return watch(env, act, SEED, picture, []), 15 if env_id.startswith("ALE/") else env.metadata.get("render_fps", RATE)


def small(picture, width):
    """A picture of this width, as bytes [height, width, 3]."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def film(name, beginner=""):
    """Write the film of a model."""
    path, width = ROOT / "models" / f"{name}.keras", WIDTH
    pictures, rate = game(path, settings_of(path))
    if beginner:
        pictures, width = side_by_side(game(Path(beginner), settings_of(path))[0], pictures), 2 * WIDTH
    every = max(1, round(rate / RATE))
    some = list(itertools.islice(itertools.islice(pictures, 0, None, every), RATE * SECONDS))
    folder = ROOT / "book" / "results" / name
    folder.mkdir(exist_ok=True)
    with replacing(folder / "film.gif") as temporary:
        imageio.mimwrite(temporary, [small(p, width) for p in some], duration=1000 * every / rate, loop=0)
    print(f"{folder / 'film.gif'}: {len(some)} pictures, {(folder / 'film.gif').stat().st_size / 1000:.0f} kB")


def make(only="", beginner=""):
    """Write the films of all models, or of one."""
    names = sorted(path.stem for path in (ROOT / "models").glob("*.keras"))
    if only and only not in names:
        sys.exit(f"no such model: {only}. There are: {' '.join(names)}")
    for name in [only] if only else names:
        film(name, beginner if name == "dqn_atari_pong" else "")


if __name__ == "__main__":
    fire.Fire(make)
