"""Playing with what was trained: scores, films, texts, refusals."""

import json
import re
import shutil

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np
import pytest

from common.cli import UsageError
from common.evaluation import evaluate, make_greedy
from common.lazy import keras
from envs.remake import remake
from recipes import hardcoded_cartpole, nfq_gridworld, reinforce_cartpole
from recipes.play import play, side_by_side


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the hand-written policy."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    hardcoded_cartpole.train(episodes=2, logdir=str(folder))
    return folder


class Killed(BaseException):
    """What no recipe can catch."""


def test_a_run_that_was_killed_is_played_as_it_was_saved_and_that_is_said(tmp_path, capsys, monkeypatch):
    """A policy killed after some games: the model is that of its last save, which the output names."""
    original, folder = reinforce_cartpole.Run.log_games, tmp_path / "killed"

    def dying(self, *args, **own):
        step = original(self, *args, **own)
        if self.episode >= 12:
            raise Killed
        return step

    monkeypatch.setattr(reinforce_cartpole.Run, "log_games", dying)
    for interval, said in (
        (1, "the model was saved at step "),
        (100_000, "the model is untrained, it was saved at step 0"),
    ):
        with pytest.raises(Killed):
            reinforce_cartpole.train(num_envs=4, save_interval=interval, logdir=str(folder / str(interval)))
        play(run=str(folder / str(interval)), episodes=2)
        assert f"{folder / str(interval)}: {said}" in capsys.readouterr().out


def test_the_best_network_of_a_run_is_played_in_the_runs_environment(tmp_path, capsys):
    """NFQ's grids are made with arguments that config.json alone knows."""
    quick = {"episodes": 8, "num_envs": 4, "max_steps": 10, "eval_episodes": 2, "learning_starts": 1000}
    nfq_gridworld.train(**quick, logdir=str(tmp_path / "run"))
    capsys.readouterr()
    play(model=str(tmp_path / "run" / "best.keras"), episodes=3)
    said = capsys.readouterr().out
    assert said.startswith("grids/Simple-v0: ") and "3 games (1 different), greedy" in said


def table_model(path, actions, states=16):
    """A model that takes the action `actions[state]`."""
    state = keras.Input((), dtype="int32")
    table = keras.layers.Embedding(states, 4)
    model = keras.Model(state, table(state))
    table.set_weights([np.eye(4)[actions]])
    model.save(path)
    return model


def test_the_score_is_that_of_the_policy(run, capsys):
    play(run=str(run), episodes=200)
    said = capsys.readouterr().out.strip()
    # By hand-driven single environments in test_hardcoded_cartpole.py: 42 ± 9.
    mean, deviation = (float(word) for word in said.split(": ")[1].split(", ")[0].split(" ± "))
    assert said.startswith("CartPole-v1: ") and said.endswith("200 games, greedy")
    assert abs(mean - 42) < 5 * 9 / np.sqrt(200) and 7 < deviation < 11
    play(run=str(run), episodes=200)
    assert capsys.readouterr().out.strip() == said  # its own seeds: the same games again


def test_a_film_of_whole_games(run, capsys):
    play(run=str(run), episodes=1, video=True, video_episodes=2)
    said = capsys.readouterr().out
    seeds, pictures, games = 3 * 2**28, 0, []
    env, act = remake("CartPole-v1", {}, 1), make_greedy(keras.models.load_model(run / "model.keras"))
    for game in range(2):
        scores = evaluate(env, act, seeds + game)
        pictures += int(scores.lengths[0]) + 1
        games.append(f"return {scores.returns[0]:.0f}, length {scores.lengths[0]}")
    assert f"film            {run / 'play.mp4'}: 2 games, {'; '.join(games)}\n" in said  # the film's own score
    film = imageio.imread(run / "play.mp4")
    assert film.shape == (pictures, 400, 600, 3)
    assert film.std() > 5  # something is drawn
    assert (run / "play.gif").stat().st_size > 1000


def test_a_recurrent_network_forgets_the_last_game_before_the_next_one(tmp_path, monkeypatch, capsys):
    """A model that counts steps and goes left in the first five alone."""
    monkeypatch.chdir(tmp_path)
    obs, state = keras.Input((4,)), keras.Input((1,))
    next_state = keras.layers.Rescaling(1.0, 1.0)(state)
    count, none = keras.layers.Dense(2), keras.layers.Dense(2, kernel_initializer="zeros")
    model = keras.Model([obs, state], [keras.layers.Add()([count(next_state), none(obs)]), next_state])
    count.set_weights([np.array([[0.0, 1.0]]), np.array([5.5, 0.0])])
    model.save("count.keras")
    play(model="count.keras", env_id="CartPole-v1", episodes=20, video=True, video_episodes=2)
    said = capsys.readouterr().out
    env, seed = remake("CartPole-v1", {}, 1), 3 * 2**28
    fresh = [int(evaluate(env, make_greedy(model), seed + game).lengths[0]) for game in range(2)]
    assert f": 2 games, return {fresh[0]}, length {fresh[0]}; return {fresh[1]}, length {fresh[1]}\n" in said
    act = make_greedy(model)
    used = [int(evaluate(env, act, seed + game).lengths[0]) for game in range(2)]
    assert used[0] == fresh[0] and used[1] != fresh[1]  # so the second game would show a state that is kept


def test_a_frozen_lake_as_text(tmp_path, capsys):
    table_model(tmp_path / "walk.keras", np.full(16, 2))  # always right
    (tmp_path / "walk.json").write_text(json.dumps({"env_id": "FrozenLake-v1", "env_kwargs": {"is_slippery": False}}))
    play(model=str(tmp_path / "walk.keras"), episodes=3, text=True)
    said = capsys.readouterr().out
    assert "FrozenLake-v1: 0.00 ± 0.00, 0 to 0, length 100.0, 3 games (1 different), greedy" in said
    assert "(Right)" in said and "SFFF" not in said.replace("\x1b[41mS\x1b[0m", "*") and said.count("FHFH") > 90
    assert said.endswith("\ntext            1 game, return 0, length 100\n")


def test_a_grid_as_text_and_in_a_film(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table_model(tmp_path / "down.keras", np.full(90, 2), states=90)  # down: five steps from (2, 2) to (7, 2)
    play(model="down.keras", env_id="grids/Simple-v0", episodes=2, text=True)
    said = capsys.readouterr().out
    assert "grids/Simple-v0: 10.00 ± 0.00, 10 to 10, length 5.0, 2 games (1 different), greedy" in said
    maps = said.split("\n\n")
    assert "#.A.##...#" in maps[0] and said.count("A") == 6  # the start and five steps
    play(model="down.keras", env_id="grids/Simple-v0", episodes=1, video=True)
    assert imageio.imread("play.mp4").shape == (6, 288, 320, 3)


@pytest.mark.slow
def test_what_the_agent_sees_of_pixels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = keras.Input((4, 84, 84), dtype="uint8")
    keras.Model(frames, keras.layers.Dense(6)(keras.layers.Flatten()(frames))).save("blind.keras")
    play(model="blind.keras", env_id="ALE/Pong-v5", episodes=1, video=True, epsilon=1.0)
    film = imageio.imread("play.mp4")
    assert film.shape[1:] == (336, 336, 3) and len(film) > 700  # a lost game of Pong takes 764 steps and more


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one of --run=DIR and --model=FILE"),
        (["--run=x", "--model=y"], "one of --run=DIR and --model=FILE"),
        (["--run=nowhere"], "config.json is missing"),
        (["--model=nothing.keras"], "nothing.json is missing"),
        (["--model=nothing.keras", "--env_id=CartPole-v1"], "there is no model nothing.keras"),
        (["--model=nothing.keras", "--env_id=CartPol-v1"], "near matches: CartPole-v1"),
        (["--model=nothing.keras", "--env_id=os:system"], "unknown environment os:system"),
        (["--runs=x"], "did you mean --run?"),
        (["--run=x", "--text", "--video"], "--text stands alone"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, run_recipe, no_tensorflow, flags, said):
    done = run_recipe("play", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


class Paid(gym.Env):
    """Two steps, which pay the second number of an action; one that is out of bounds is refused."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gym.spaces.Box(np.array([0.1, -3]), np.array([0.7, 5]), dtype=np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return np.zeros(3), float(action[1]), self.t == 2, False, {}


gym.register("play/Paid-v0", entry_point=Paid)


def constant_model(path, *action):
    """A model that takes three numbers and always gives this action."""
    obs = keras.Input((3,))
    model = keras.Model(obs, keras.layers.Dense(len(action), kernel_initializer="zeros")(obs))
    model.layers[-1].bias.assign(action)
    model.save(path)


def test_actions_that_are_vectors_are_played_within_their_bounds(tmp_path, capsys):
    model = tmp_path / "model.keras"
    for action, each in (([0.25, 1.5], 1.5), ([-9, 9], 5), ([9, -9], -3)):
        constant_model(model, *action)
        assert play(model=str(model), env_id="play/Paid-v0", episodes=2).returns.tolist() == [2 * each] * 2
    returns = play(model=str(model), env_id="play/Paid-v0", episodes=500, epsilon=1.0).returns
    # Two uniform numbers from -3 to 5: mean 2 * 1, deviation sqrt(2 * 8² / 12) = 3.27.
    assert abs(returns.mean() - 2) < 5 * 3.27 / np.sqrt(500) and abs(returns.std() - 3.27) < 0.5
    assert capsys.readouterr().out.endswith("500 games, epsilon 1.0\n")


def test_a_pendulum_in_a_film(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    constant_model("push.keras", 1.0)
    scores = play(model="push.keras", env_id="Pendulum-v1", episodes=2, video=True)
    assert scores.lengths.tolist() == [200, 200] and scores.different == 2
    assert (scores.returns > -17 * 200).all() and (scores.returns < -500).all()  # at most π² + 0.1 * 8² + 0.001 * 2²
    film = imageio.imread("play.mp4")
    assert film.shape == (201, 500, 500, 3) and film.std() > 5
    assert "film            play.mp4: 1 game, return -" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "action", "said"),
    [
        ("play", [1.0, 2.0], "model.keras maps (3,) to (2,); the environment needs (3,) to (1,)"),
        ("export", [np.nan], "model.keras has weights that are NaN or infinite"),
    ],
)
def test_a_model_of_other_actions_gets_one_line(tmp_path, run_recipe, program, action, said):
    constant_model(tmp_path / "model.keras", *action)
    done = run_recipe(program, "--model=model.keras", "--env_id=Pendulum-v1")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_window_tells_the_score_of_its_games(run, monkeypatch, capsys):
    monkeypatch.setattr("recipes.play.check_display", lambda: None)
    monkeypatch.setattr("recipes.play.show", lambda pictures, fps: print(len(list(pictures))))
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    play(run=str(run), episodes=1, render=True)
    *_, pictures, said = capsys.readouterr().out.splitlines()
    length = int(pictures) - 1
    assert said == f"window          1 game, return {length}, length {length}"  # a reward of 1 per step
    monkeypatch.setattr("recipes.play.show", lambda pictures, fps: next(pictures))
    play(run=str(run), episodes=1, render=True)
    assert capsys.readouterr().out.endswith("window          0 games\n")  # closed during the first one


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("config.json", "[]", "config.json cannot be read"),
        ("config.json", '{"arguments": {"env_id": "CartPole-v1"}}', "config.json cannot be read"),
        ("config.json", '{"arguments": {"env_id": null}, "env_kwargs": {}}', "config.json cannot be read"),
        ("episodes.csv", "", "episodes.csv is damaged"),
        ("episodes.csv", "episode,step\n1,5\n", "episodes.csv is damaged"),
        ("model.keras", "", "not a whole .keras file"),
        ("model.keras", None, "there is no model"),
    ],
)
def test_a_damaged_run_is_not_played(run, tmp_path, name, text, said):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / name).unlink() if text is None else (tmp_path / "run" / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        play(run=str(tmp_path / "run"), episodes=1)


@pytest.mark.parametrize(
    ("env_id", "env_kwargs"),
    [
        ("FrozenLake-v1", {"map_name": "9x9"}),  # KeyError
        ("FrozenLake-v1", {"size": 4}),  # TypeError
        ("grids/Simple-v0", {"observation": 3}),
    ],
)
def test_arguments_that_an_environment_does_not_take_are_refused(tmp_path, env_id, env_kwargs):
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {"env_id": env_id}, "env_kwargs": env_kwargs}))
    with pytest.raises(gym.error.Error):
        play(run=str(tmp_path), episodes=1)


def test_what_does_not_fit_or_cannot_be_shown_is_refused_before_it_is_played(run, monkeypatch, capsys):
    capsys.readouterr()
    with pytest.raises(UsageError, match=r"maps \(4,\) to \(2,\); the environment needs \(6,\) to \(3,\)"):
        play(model=str(run / "model.keras"), env_id="Acrobot-v1")
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match="cannot be shown as text"):
        play(run=str(run), episodes=1, text=True)
    with pytest.raises(UsageError, match="Endless-v0 cannot be shown in pictures"):
        play(model=str(run / "model.keras"), env_id="probes/Endless-v0", episodes=1, video=True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no display"):
        play(run=str(run), episodes=1, render=True)
    assert capsys.readouterr().out == ""


def test_two_games_side_by_side_by_hand():
    left = [np.full((2, 4, 3), i, np.uint8) for i in (1, 2)]
    right = [np.full((2, 4, 3), i, np.uint8) for i in (11, 12, 13)]
    found = [*side_by_side(iter(left), iter(right))]
    assert [picture.shape for picture in found] == [(2, 16, 3)] * 3
    assert [(int(p[0, 0, 0]), int(p[0, 5, 0]), int(p[0, -1, 0])) for p in found] == [
        (1, 128, 11),
        (2, 128, 12),
        (2, 128, 13),  # the game on the left is over
    ]


def test_a_second_model_plays_in_the_right_half_of_the_film(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = shutil.copy(run / "model.keras", tmp_path / "other.keras")
    play(run=str(run), beside=str(model), episodes=1, video=True)
    assert re.search(r"film .*: 1 game, return (\d+), length \1; beside it 1 game, return \1,", capsys.readouterr().out)
    pictures = imageio.imread(run / "play.gif", index=None)
    width = gym.make("CartPole-v1", render_mode="rgb_array").unwrapped.screen_width
    assert pictures.shape[2] == 2 * width + 8
    left, right = pictures[:, :, :width], pictures[:, :, width + 8 :]
    assert (abs(left.astype(int) - right).mean() < 1) and left.std() > 0  # the same policy, the same start


def test_a_game_without_end_is_not_shown_for_ever(tmp_path, monkeypatch, capsys):
    """Always upwards on the cliff: the walker stays at the wall, and nothing truncates the game."""
    monkeypatch.setattr("recipes.play.LONGEST", 30)
    monkeypatch.setattr("common.evaluation.LONGEST", 30)
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((), dtype="int64"), keras.layers.Embedding(48, 4)])
    model.set_weights([np.eye(1, 4).repeat(48, axis=0)])
    model.save("up.keras")
    play(model="up.keras", env_id="CliffWalking-v1", episodes=1, text=True)
    assert capsys.readouterr().out.endswith("text            1 game, return -30, length 30\n")


def test_a_folder_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (".", "/"):
        with pytest.raises(UsageError, match="is a folder and no model"):
            play(model=path, env_id="CartPole-v1")


def test_a_second_model_without_a_film_is_refused(run):
    with pytest.raises(UsageError, match="--beside is shown in a film"):
        play(run=str(run), beside="models/dqn_cartpole.keras")
