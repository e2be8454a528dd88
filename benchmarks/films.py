"""A short film for each page: greedy games, the first ten seconds at ten pictures a second, 240 pixels wide.

Of each model in models/, and of recipes without one the model of a run that `make results` or `benchmarks/pong.py` has
left in runs/. Pong's film has a second model on its left, such as the one that `make demo` leaves, if it is given, and
shows half a minute from the 30th second on, when points have been made.
Writes book/results/<name>/film.gif.

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
from recipes.play import make_shown, seen, side_by_side, watch

ROOT = Path(__file__).parent.parent
WITHOUT_A_CARD = {  # name → the run's folder in runs/
    "reinforce_cartpole": "results/reinforce_cartpole/1000",
    "reinforce_dropout_cartpole": "results/reinforce_dropout_cartpole/1000",
    "actor_critic_two_networks": "results/actor_critic_two_networks/1000",
    "q_network_frozenlake": "results/q_network_frozenlake/1000",
    "compiled_ppo_breakout": "results/compiled_ppo_breakout/1000",
    "ppo_atari": "pong/small_bfloat16/1001",
}
WIDTH, RATE, SECONDS, GAMES, SEED = 240, 10, 10, 5, 3 * 2**28


def game(path, settings):
    """Pictures of greedy games of a model, and how many of them are a second."""
    env_id, env_kwargs = choose_world(settings, "", None)
    env, picture = make_shown(env_id, env_kwargs, text=False)
    network = load_policy(path, env.single_observation_space, env.single_action_space)
    act, rate = make_greedy(network, 0.0, SEED, env.single_action_space), env.metadata.get("render_fps", RATE)
    games = (watch(env, act, SEED + i, picture, []) for i in range(GAMES))
    return itertools.chain.from_iterable(games), 15 if picture is seen else rate


def small(picture, width):
    """A picture of this width, as bytes [height, width, 3]."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def models():
    """dict name → model and its settings."""
    found = {path.stem: (path, settings_of(path)) for path in sorted((ROOT / "models").glob("*.keras"))}
    for name, folder in WITHOUT_A_CARD.items():
        run = ROOT / "runs" / folder
        if (run / "evaluation.json").exists():
            found[name] = run / "model.keras", run / "config.json"
    return found


def film(name, path, settings, beginner="", start=0, seconds=SECONDS):
    """Write the film of a model, from the second `start` of its games on."""
    width = WIDTH
    pictures, rate = game(path, settings)
    if beginner:
        pictures, width = side_by_side(game(Path(beginner), settings)[0], pictures), 2 * WIDTH
    every = max(1, round(rate / RATE))
    some = list(itertools.islice(pictures, start * rate, (start + seconds) * rate, every))
    folder = ROOT / "book" / "results" / name
    folder.mkdir(exist_ok=True)
    with replacing(folder / "film.gif") as temporary:
        imageio.mimwrite(temporary, [small(p, width) for p in some], duration=1000 * every / rate, loop=0)
    print(f"{folder / 'film.gif'}: {len(some)} pictures, {(folder / 'film.gif').stat().st_size / 1000:.0f} kB")


def make(only="", beginner=""):
    """Write the films of all models, or of one."""
    found = models()
    if only and only not in found:
        sys.exit(f"no such model: {only}. There are: {' '.join(found)}")
    for name in [only] if only else found:
        pong = {"beginner": beginner, "start": 30, "seconds": 30} if name == "dqn_atari_pong" else {}
        film(name, *found[name], **pong)


if __name__ == "__main__":
    fire.Fire(make)
