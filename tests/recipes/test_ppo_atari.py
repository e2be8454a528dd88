"""PPO on Atari: its networks, its draws, its rollouts, a round of updates by hand, its seeds, what it leaves on disk.

The losses are tried in test_ppo_cartpole.py.
"""

import inspect
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from pixels import SMALL_CHOICE
from test_a2c_cartpole import linear, rollout
from test_ppo_cartpole import SETTINGS, TWO_STEPS
from test_ppo_cartpole import updated as updated_cartpole

from common import machine, run
from common.cli import UsageError, strict
from common.files import read_csv, read_episodes
from common.lazy import keras, tf
from envs.atari import make_atari
from recipes import ppo_atari as recipe
from recipes import ppo_cartpole
from recipes.export import export
from recipes.play import play

FRAMES = gym.spaces.Box(0, 255, (4, 36, 36), np.uint8)
SMALL = {
    "env_id": SMALL_CHOICE, "num_envs": 8, "rollout_length": 16, "batch_size": 64, "epochs": 4,
    "learning_rate": 1e-3, "eval_interval": 0, "eval_episodes": 20,
}  # fmt: skip
# After each round games are in progress. A game has four steps, and every fifth only resets: 14, 26, 40, 52, 66 count.
TINY = {**SMALL, "num_envs": 2, "rollout_length": 8, "batch_size": 8, "epochs": 2, "eval_episodes": 0}


@pytest.fixture
def rounds(monkeypatch):
    """What each round of updates of a training got, by name; before it what `act` saw and said; after it its results.

    The update must be traced once.
    """
    seen, acted, make_act, make_update = [], [], recipe.make_act, recipe.make_update

    def acting(model, rng):
        act = make_act(model, rng)

        def noted(obs):
            answer = act(obs)
            acted.append(tuple(np.array(x) for x in (obs, *answer)))
            return answer

        return noted

    def making(model, optimizer, *args):
        update = make_update(model, optimizer, *args)
        settings = inspect.signature(make_update).bind(model, optimizer, *args).arguments
        names = inspect.signature(update.python_function).parameters

        def noted(*parts):
            now = SimpleNamespace(**dict(zip(names, parts, strict=True)), settings=settings, optimizer=optimizer)
            now.acted, now.rate = [np.stack(x) for x in zip(*acted, strict=True)], float(optimizer.learning_rate)
            acted.clear()
            seen.append(now)
            now.results = update(*parts)
            assert update.experimental_get_tracing_count() == 1
            return now.results

        return noted

    monkeypatch.setattr(recipe, "make_act", acting)
    monkeypatch.setattr(recipe, "make_update", making)
    return seen


@pytest.mark.parametrize("network", recipe.NETWORKS)
@pytest.mark.parametrize(("dtype", "computed"), [("float32", "float32"), ("mixed_bfloat16", "bfloat16")])
def test_shapes_names_and_precision(network, dtype, computed):
    """On the smallest picture that envs/atari.py accepts; logits nearly 0 at first, so that all actions are tried."""
    keras.utils.set_random_seed(0)
    model = recipe.build_actor_critic((4, 36, 36), 3, network, True, dtype)
    logits, value = model(np.random.default_rng(0).integers(0, 256, (5, 4, 36, 36), dtype=np.uint8))
    assert logits.shape == (5, 3) and value.shape == (5, 1) and logits.dtype == value.dtype == "float32"
    assert model.name == "actor_critic" and abs(logits.numpy()).max() < 0.05 < abs(value.numpy()).max()
    assert all(isinstance(part, keras.layers.Layer) for part in model.operations)  # others load from Keras 3.11 on
    assert {weight.dtype for weight in model.weights} == {"float32"}
    *trunk, actor, critic = model.layers[1:]
    assert (actor.name, critic.name) == ("logits", "value") and actor.compute_dtype == critic.compute_dtype == "float32"
    assert {(layer.compute_dtype, layer.output.dtype) for layer in trunk} == {(computed, computed)}


def test_the_small_network_has_a_third_of_the_products():
    # Maps of 20 x 20, 9 x 9 and 7 x 7 in both.
    # nature: 400 * 8² * 4 * 32 + 81 * 4² * 32 * 64 + 49 * 3² * 64 * 64 + 3136 * 512 + 512 * (6 + 1)
    #         = 3,276,800 + 2,654,208 + 1,806,336 + 1,605,632 + 3,584 = 9,346,560
    # small:  400 * 8² * 4 * 16 + 81 * 4² * 16 * 32 + 49 * 3² * 32 * 32 + 1568 * 256 + 256 * (6 + 1)
    #         = 1,638,400 + 663,552 + 451,584 + 401,408 + 1,792 = 3,156,736
    for network, wanted in (("nature", 9_346_560), ("small", 3_156_736)):
        model = recipe.build_actor_critic((4, 84, 84), 6, network, False, "float32")
        layers = [layer for layer in model.layers if layer.weights]
        # Each number of a kernel is multiplied once at each place of the layer's map.
        assert sum(math.prod([*layer.kernel.shape, *layer.output.shape[1:-1]]) for layer in layers) == wanted
    assert round(9_346_560 / 3_156_736, 1) == 3.0


def test_actions_are_drawn_from_the_probabilities_and_follow_the_seed():
    wanted, obs, traces = np.array([0.5, 0.3, 0.2]), np.arange(20_000, dtype=np.float32)[:, None], []

    def model(obs):
        traces.append(obs.shape)
        return tf.tile(tf.constant(np.log([wanted]) + 7, tf.float32), (len(obs), 1)), obs

    fit = []
    for rng in (np.random.default_rng(2), SimpleNamespace(gumbel=np.random.default_rng(2).normal)):
        action, logits, value = recipe.make_act(model, rng)(obs)
        errors = np.sqrt(wanted * (1 - wanted) / 20_000)  # standard errors
        fit.append((abs(np.bincount(action) / 20_000 - wanted) <= 5 * errors).all())
        np.testing.assert_allclose(logits, np.log([wanted] * 20_000) + 7, rtol=1e-6)
        np.testing.assert_array_equal(value, obs[:, 0])
    assert fit == [True, False]  # with noise of another distribution the shares are others
    traces.clear()
    act, same, other = (recipe.make_act(model, np.random.default_rng(seed)) for seed in (3, 3, 4))
    one, two = act(obs)[0], act(obs)[0]
    assert len(traces) == 1
    np.testing.assert_array_equal(one, same(obs)[0])
    assert (one != two).any() and (one != other(obs)[0]).any()


class Scripted:
    """Two games in a fixed order of six steps: lives are lost, games terminate, are truncated and reset."""

    single_observation_space, single_action_space = FRAMES, gym.spaces.Discrete(2)
    reward = np.array([[3, 0.5], [-5, 1], [0, 7], [2, 0], [0, 0], [0.5, -1]])
    lost = np.array([[0, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], bool)
    terminated = np.array([[0, 0], [0, 0], [0, 0], [1, 0], [0, 0], [0, 1]], bool)
    truncated = np.array([[0, 0], [0, 0], [0, 1], [0, 0], [0, 0], [0, 0]], bool)

    def reset(self, seed):
        self.t = 0
        return self.look(), {}

    def step(self, action):
        t, self.t = self.t % 6, self.t + 1
        return self.look(), self.reward[t], self.terminated[t], self.truncated[t], {"life_lost": self.lost[t]}

    def look(self):
        return np.stack([np.full(FRAMES.shape, 10 * self.t, np.uint8), np.full(FRAMES.shape, 255 - self.t, np.uint8)])

    def close(self):
        pass


@pytest.mark.parametrize(("life_loss", "clip_rewards"), [(True, False), (False, True)])
def test_the_rollout_that_is_learnt_from(life_loss, clip_rewards, rounds, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "make_atari", lambda *args, **kwargs: Scripted())
    changes = {"rollout_length": 6, "batch_size": 12, "epochs": 1, "learning_rate": 0.01, "steps": 11}
    recipe.train(**{**TINY, **changes}, life_loss=life_loss, clip_rewards=clip_rewards, logdir=str(tmp_path / "run"))
    playing = np.array([[1, 1], [1, 1], [1, 1], [1, 0], [0, 1], [1, 1]], bool)  # false right after an end
    one, two = rounds
    np.testing.assert_array_equal(one.playing, playing)
    playing[0, 1] = False  # the last step of the round before ended a game
    np.testing.assert_array_equal(two.playing, playing)
    clipped = [[1, 0.5], [-1, 1], [0, 1], [1, 0], [0, 0], [0.5, -1]]
    lost = Scripted.lost & life_loss
    for games in rounds:
        np.testing.assert_array_equal(games.reward, clipped if clip_rewards else Scripted.reward)
        np.testing.assert_array_equal(games.terminated, Scripted.terminated | lost)
        np.testing.assert_array_equal(games.ended, Scripted.terminated | Scripted.truncated | lost)
        obs, action, logits, value = games.acted
        for name, wanted in (("obs", obs[:-1]), ("action", action[:-1]), ("logits", logits[:-1]), ("value", value)):
            np.testing.assert_array_equal(getattr(games, name), wanted)  # the last row of value: after the last action
        # The network that learns is the one that acted: in the first minibatch all ratios are 1.
        assert float(games.results[2]) == pytest.approx(0, abs=1e-6)
        np.testing.assert_array_equal(games.obs[:, 0, 0, 0, 0] // 10 % 6, range(6))
    np.testing.assert_array_equal(one.acted[0][-1], two.obs[0])
    assert abs(two.logits - one.logits).max() > 0.01  # an update came between
    parts = (tf.constant(x) for x in (one.reward, one.terminated, one.ended, one.value))
    found, v = recipe.advantages(*parts, 0.9, 0.5).numpy(), one.value  # λ * gamma = .45
    low, high = (-1, 1) if clip_rewards else (-5, 7)
    later = 0.0 if life_loss else 0.9 * v[2, 0] + 0.45 * found[2, 0]
    assert found[1, 0] == pytest.approx(low - v[1, 0] + later, rel=1e-4)  # a lost life
    assert found[2, 1] == pytest.approx(high + 0.9 * v[3, 1] - v[2, 1], rel=1e-4)  # truncated
    assert found[3, 0] == pytest.approx((1 if clip_rewards else 2) - v[3, 0], rel=1e-4)  # terminated
    # The score is never clipped, and a game goes on after a lost life: 3 - 5 + 0 + 2 = 0; .5 + 1 + 7.
    episodes = read_episodes(tmp_path / "run")
    assert episodes["episode_return"].tolist() == [8.5, 0, -1, 8, 0.5, -1]
    assert episodes["episode_length"].tolist() == [3, 4, 2, 2, 5, 2]
    assert episodes["step"].tolist() == [6, 7, 10, 15, 16, 19]


def updated(parts, model, minibatches, rate=1.0, acted=None, **changes):
    """What a round of plain gradient descent returns, and how many steps it was; `model` is changed.

    Args:
        parts: a rollout as test_a2c_cartpole.py makes them; obs [T + 1, N, 1].
        acted: the network that chose the actions; if there is none it is `model`.
    """
    obs, *others = parts
    logits, value = (acted or model)(obs.reshape(-1, 1))
    logits, value = logits.numpy().reshape(*obs.shape[:2], -1)[:-1], value.numpy().reshape(obs.shape[:2])
    optimizer = keras.optimizers.SGD(rate)
    update = recipe.make_update(model, optimizer, **{**SETTINGS, **changes})
    results = update(obs[:-1], *others, logits, value, np.array(minibatches))
    return [float(x) for x in results], int(optimizer.iterations)


def test_one_update_by_hand():
    model = linear()
    (loss, entropy, kl), _ = updated(rollout(*TWO_STEPS), model, [[1, 0]], entropy_weight=0.1)
    # Errors 1 + .9 * 2 - 1 = 1.8 and .5 - 2 = -1.5; advantages 1.8 + .45 * -1.5 = 1.125 and -1.5; all ratios are 1.
    # Actor: (-1.125 + 1.5) / 2 = .1875; critic: (1.125² + 1.5²) / 2 / 2 = .878906; entropy ln 2.
    assert loss == pytest.approx(0.1875 + 0.5 * 0.878906 - 0.1 * math.log(2), abs=1e-6)
    assert entropy == pytest.approx(math.log(2)) and kl == 0
    # The slope of the value: -.5 * (1.125 * 1 - 1.5 * 2) / 2 = .46875; of the logits: (1.125 * (-.5, .5) - 1.5 * (.5,
    # -.5)) / 2; both downhill.
    np.testing.assert_allclose(model.get_layer("value").kernel, [[1 - 0.46875]], rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("logits").bias, [0.65625, -0.65625], rtol=1e-6)


def test_old_probabilities_and_values_are_those_that_were_handed_over():
    # Obs 1, reward 1, terminated, action 0. Then: probability .8, value .25, so advantage .75. Now: .5 and value .5.
    # Ratio .625, clipped .8: the smaller product is .625 * .75 = .46875; critic (1 - .5)² / 2 = .125.
    parts = rollout([1.0, 1.0], [1.0], [0], terminated=[0])
    (loss, _, kl), _ = updated(parts, linear(0.5), [[0]], acted=linear(0.25, (math.log(4), 0.0)))
    assert loss == pytest.approx(-0.46875 + 0.5 * 0.125, rel=1e-5)
    assert kl == pytest.approx(0.625 - 1 - math.log(0.625), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"normalize_advantage": True, "value_clip_range": 0.1, "clip_range": 0.05, "entropy_weight": 0.1}, 6),
        ({"target_kl": 1e-3}, 2),
    ],
)
def test_a_round_is_that_of_ppo_cartpole(changes, count):
    """Whose parts are all tried by hand: two games, with ends of both kinds, resets, and several minibatches."""
    rng = np.random.default_rng(0)
    one, two = (
        rollout(rng.normal(size=13), rng.normal(size=12), rng.integers(2, size=12), **ends)
        for ends in ({"terminated": [3], "resets": [4]}, {"truncated": [8], "resets": [9]})
    )
    parts = [np.concatenate(pair, axis=1) for pair in zip(one, two, strict=True)]
    keras.utils.set_random_seed(1)
    model, other = (ppo_cartpole.build_actor_critic(1, 2, 8, orthogonal=False) for _ in range(2))
    other.set_weights(model.get_weights())
    minibatches = np.concatenate([rng.permutation(24) for _ in range(2)]).reshape(6, 8)
    found, steps = updated(parts, model, minibatches, rate=0.1, **changes)
    wanted, same = updated_cartpole(parts, other, minibatches, rate=0.1, **changes)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert steps == same == count
    for x, y in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_the_flags_reach_the_network_the_update_and_the_optimizer(rounds, tmp_path, monkeypatch):
    settings = {
        "gamma": 0.5, "gae_lambda": 0.75, "clip_range": 0.125, "value_clip_range": 0.375, "value_weight": 0.625,
        "entropy_weight": 0.0625, "normalize_advantage": False, "target_kl": 7.0,
    }  # fmt: skip
    reached, build = [], recipe.build_actor_critic
    monkeypatch.setattr(recipe, "build_actor_critic", lambda *args: reached.append(args) or build(*args))
    monkeypatch.setattr(machine, "has_bfloat16", lambda: True)
    changes = {"adam_epsilon": 1e-3, "max_gradient_norm": 0.25, "learning_rate": 0.1, "learning_rate_decay_steps": 42}
    model = {"network": "small", "precision": "bfloat16", "orthogonal": False}
    recipe.train(**{**TINY, **changes, **settings, **model}, steps=40, logdir=str(tmp_path / "run"))
    assert reached == [((4, 36, 36), 2, "small", False, "mixed_bfloat16")]
    optimizer = rounds[0].optimizer
    assert settings.items() <= rounds[0].settings.items()
    assert (optimizer.epsilon, optimizer.global_clipnorm, optimizer.clipnorm) == (1e-3, 0.25, None)
    # The first round has the full rate, and the last one, after which the training ends, is not without.
    np.testing.assert_allclose([games.rate for games in rounds], [0.1, 0.1 * 28 / 42, 0.1 * 16 / 42], rtol=1e-6)
    for games in rounds:  # each epoch takes each step once, in an order of its own
        orders = games.minibatches.reshape(2, 16)
        assert games.minibatches.shape == (4, 8) and (np.sort(orders) == np.arange(16)).all()
        assert (orders[0] != orders[1]).any()
    assert (rounds[0].minibatches != rounds[1].minibatches).any()


def test_a_game_of_ale_is_played_and_evaluated(rounds, tmp_path, monkeypatch):
    """Frames of a rollout follow one another; the evaluation has the game's arguments, but counts no lost lives."""
    made = []

    def spy(env_id, num_envs, env_kwargs, life_loss):
        made.append((num_envs, env_kwargs, life_loss))
        return make_atari(env_id, num_envs, env_kwargs, life_loss=life_loss)

    monkeypatch.setattr(recipe, "make_atari", spy)
    picture = {"img_height": 36, "img_width": 36, "max_frames": 80}
    changes = {"env_id": "ALE/Breakout-v5", "env_kwargs": picture, "sticky_actions": 0.1, "noop_max": 7}
    recipe.train(**{**TINY, **changes, "eval_episodes": 1}, steps=16, logdir=str(tmp_path / "run"))
    kept = {"sticky_actions": 0.1, "noop_max": 7, **picture}
    assert made == [(2, kept, True), (1, kept, False)]
    obs = rounds[0].obs
    np.testing.assert_array_equal(obs[1:, :, :-1], obs[:-1, :, 1:])
    assert len({frame.tobytes() for frame in obs[:, 0, -1]}) > 4
    assert len(read_csv(tmp_path / "run" / "evaluations.csv")["mean"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("network", "learning_rate"), [("nature", 1e-3), ("small", 1e-3), ("nature", 1e-12)])
def test_it_learns_from_pixels_and_its_twin_without_learning_does_not(network, learning_rate, tmp_path):
    settings = {**SMALL, "network": network, "learning_rate": learning_rate, "steps": 2000}
    folder = recipe.train(**settings, seed=11, logdir=str(tmp_path / "run"))
    score = np.mean(json.loads((folder / "evaluation.json").read_text())["scores"])
    assert (score >= 3.9) == (learning_rate == 1e-3), score  # a perfect player scores 4, a blind one 2


def rows_without_time(folder):
    return [line.split(",")[:2] + line.split(",")[3:] for line in (folder / "episodes.csv").read_text().splitlines()]


def weights(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


def newest(folder):
    """The step of the newest checkpoint."""
    return max(int(path.name) for path in (folder / "checkpoint").iterdir())


def test_one_seed_repeats_bit_for_bit_and_another_differs(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        recipe.train(**TINY, steps=66, seed=seed, logdir=str(tmp_path / name))
    a, b, c = (tmp_path / name for name in "abc")
    assert rows_without_time(a) == rows_without_time(b) != rows_without_time(c)
    for x, y, z in zip(weights(a), weights(b), weights(c), strict=True):
        np.testing.assert_array_equal(x, y)
        assert (x != z).any() and (x.ndim == 1 or np.corrcoef(x.ravel(), z.ravel())[0, 1] < 0.5)  # also at their start


def test_a_run_resumes_with_everything_the_loop_had(rounds, tmp_path, monkeypatch):
    """What goes into the last save comes out of it; the games in progress are lost, and new ones begin."""
    saves, restores, save, take = [], [], run.checkpoint.save, run.checkpoint.Carry.take

    def kept(tensors, state, arrays):
        return {name: [v.numpy() for v in tensor.variables] for name, tensor in tensors.items()}, json.dumps(state)

    def saving(folder, step, identity, *others):
        saves.append(kept(*others[:3]))
        save(folder, step, identity, *others)

    def taking(self, state, arrays):
        take(self, state, arrays)
        restores.append(kept(*self.parts()))

    monkeypatch.setattr(run.checkpoint, "save", saving)
    monkeypatch.setattr(run.checkpoint.Carry, "take", taking)
    folder = tmp_path / "run"
    recipe.train(**TINY, steps=26, logdir=str(folder))
    (tensors, state), first = saves[-1], len(rounds)
    recipe.train(logdir=str(folder), steps=40, resume=True)
    ((back, again),) = restores
    state, again = json.loads(state), json.loads(again)
    assert again.keys() == {"loss", "entropy", "divergence", "rng", "step"} and again.items() <= state.items()
    assert tensors.keys() == back.keys() == {"model", "optimizer"} and again["step"] == 26
    for name in tensors:
        for x, y in zip(tensors[name], back[name], strict=True):
            np.testing.assert_array_equal(x, y)
    assert tensors["optimizer"][0] == 8 and len(rounds) == first + 1 == 3
    assert rounds[-1].playing[0].all() and (rounds[-1].obs != rounds[0].obs).any()
    assert (read_episodes(folder)["episode_length"] == 4).all()
    assert read_episodes(folder)["loss"][-1] == pytest.approx(again["loss"])  # of the round before


class Killed(BaseException):
    """What no recipe can catch."""


@pytest.mark.parametrize("end", ["killed", "nan"])
def test_a_run_that_is_killed_or_breaks_is_continued_from_its_last_save(end, tmp_path, monkeypatch, capsys):
    updates, make_update, folder = [], recipe.make_update, tmp_path / "run"

    def breaking(model, *args):
        update = make_update(model, *args)

        def broken(*parts):
            updates.append(parts)
            if len(updates) == 3 and end == "killed":
                raise Killed
            if len(updates) == 3:
                model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
            return update(*parts)

        return broken

    with monkeypatch.context() as patch, pytest.raises((Killed, SystemExit)) as stop:
        patch.setattr(recipe, "make_update", breaking)
        strict(recipe.train, [])(**TINY, steps=66, save_interval=10, logdir=str(folder))
    said = capsys.readouterr().err
    if end == "nan":
        assert stop.value.code == 1 and said.count("\n") == 1 and "the loss is nan at step 40" in said, said
    assert newest(folder) == 26 and all(np.isfinite(w).all() for w in weights(folder))
    recipe.train(logdir=str(folder), resume=True)
    episodes = read_episodes(folder)
    assert (np.diff(episodes["episode"]) == 1).all() and (np.diff(episodes["step"]) >= 0).all()
    assert (episodes["episode_length"] == 4).all() and newest(folder) == 66  # 26, then 14, 12 and 14


@pytest.mark.slow
def test_the_folder_of_a_run_its_networks_elsewhere_and_its_continuation(tmp_path, run_recipe):
    """Trained by its command from another folder, loaded in another process, played, exported, continued, refused."""
    flags = {**TINY, "env_id": "probes/PixelChoice-v0", "network": "small", "eval_episodes": 3, "steps": 26}
    done = run_recipe("ppo_atari", *(f"--{name}={value}" for name, value in flags.items()), "--logdir=run")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert "probes/PixelChoice-v0, step 26" in done.stdout and done.stderr == "playing 3 games, greedy\n"
    names = {path.name.split(".")[0] for path in folder.iterdir()}
    assert names == {
        "config", "episodes", "model", "learning_curve", "events", "checkpoint", "evaluation", "evaluations", "best",
    }  # fmt: skip
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 84, 84), dtype=np.uint8)
    np.save(tmp_path / "obs.npy", obs)
    recipe.build_actor_critic((4, 84, 84), 2, "nature", True, "mixed_bfloat16").save(tmp_path / "other.keras")
    code = """
import sys
sys.modules.update(common=None, envs=None, recipes=None)  # importing one of them would fail
import keras, numpy as np
np.savez("found.npz", *(x for path in sys.argv[1:] for x in keras.models.load_model(path)(np.load("obs.npy"))))
"""
    paths = "run/model.keras", "other.keras"
    subprocess.run([sys.executable, "-c", code, *paths], cwd=tmp_path, check=True, capture_output=True)
    wanted = [x.numpy() for path in paths for x in keras.models.load_model(tmp_path / path)(obs)]
    assert [x.shape for x in wanted] == [(5, 2), (5, 1)] * 2
    for x, y in zip(np.load(tmp_path / "found.npz").values(), wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    assert len(play(run=str(folder), episodes=2).returns) == 2
    export(run=str(folder), out=str(tmp_path / "saved"))  # compares the actions of both
    with pytest.raises(UsageError, match="holds a run already"):
        recipe.train(logdir=str(folder))
    recipe.train(logdir=str(folder), resume=True, steps=40)
    assert len(read_csv(folder / "evaluations.csv")["mean"]) == 2


def test_bfloat16_is_refused_where_the_machine_has_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "has_bfloat16", lambda: False)
    monkeypatch.delattr(recipe, "make_atari")  # it does not come so far
    with pytest.raises(SystemExit) as stop:
        strict(recipe.train, ["--precision=bfloat16", f"--logdir={tmp_path / 'run'}"])()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count("\n") == 1 and "--precision=bfloat16: this machine" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--batch_size=100", "--batch_size=100 does not divide the 2048 steps of a rollout"),
        ("--batch_size=1", "--batch_size=1: the advantage of one step, standardised, is 0"),
        ("--network=foo", "--network=foo: one of nature, small is wanted"),
        ("--precision=foo", "--precision=foo: one of float32, bfloat16 is wanted"),
        ("--netwrok=small", "did you mean --network?"),
        ("--env_id=ALE/Pog-v5", "ALE/Pong-v5"),
        ("--env_id=CartPole-v1", "images are wanted"),
        ("--resume", "--logdir"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(tmp_path, run_recipe, no_tensorflow, flag, said):
    done = run_recipe("ppo_atari", flag, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
