"""An export acts as the Keras model does, or is not there."""

import importlib.util

import gymnasium as gym
import numpy as np
import pytest

from common.cli import UsageError
from common.lazy import keras, tf
from recipes import drqn_cartpole, hardcoded_cartpole
from recipes import export as exporting
from recipes.export import NEEDED, RUNTIMES, export, with_choice


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    hardcoded_cartpole.train(episodes=2, logdir=str(folder))
    return folder


def test_the_choice_is_the_first_of_the_highest():
    obs = keras.Input((3,))
    choice = with_choice(keras.Model(obs, keras.layers.Activation("linear")(obs)), gym.spaces.Discrete(3))
    rows = np.array([[1, 3, 2], [5, 5, 1], [-1, -3, -1]], np.float32)
    assert np.array(choice(rows)).tolist() == [1, 0, 0]


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_an_export_acts_as_the_model_in_its_own_runtime(run, tmp_path, capsys, format):
    out = tmp_path / "policy"
    if format == "onnx" and not all(map(importlib.util.find_spec, NEEDED["onnx"])):  # requirements.txt has the others
        pytest.skip("the extra onnx is not installed here")
    export(run=str(run), format=format, out=str(out))
    said = capsys.readouterr().out
    assert "kB" in said and "ms for one observation" in said and "on 512 observations of CartPole-v1" in said
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert RUNTIMES[format](out)(obs)[0].tolist() == (obs[:, 2] > 0).astype(int).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    with pytest.raises(UsageError, match="exists already"):
        export(run=str(run), format=format, out=str(out))


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
def test_an_export_of_a_recurrent_policy_takes_the_state_and_returns_the_next_one(tmp_path, monkeypatch, format):
    if format == "onnx" and not all(map(importlib.util.find_spec, NEEDED["onnx"])):
        pytest.skip("the extra onnx is not installed here")
    monkeypatch.chdir(tmp_path)
    model = drqn_cartpole.build_q_network(4, 2, 4, 3, 1.0)
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    model.save("model.keras")
    export(model="model.keras", env_id="CartPole-v1", format=format, out="policy")
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=(50, size)).astype(np.float32) for size in (4, 8)]
    q, next_state = model(inputs)
    action, exported_state = RUNTIMES[format](tmp_path / "policy")(*inputs)
    assert action.tolist() == np.argmax(q, axis=-1).tolist() and 0 < action.mean() < 1
    np.testing.assert_allclose(exported_state, next_state, rtol=1e-4, atol=1e-5)
    if format == "saved_model":  # one that forgets is not kept
        forgetful = lambda path: lambda obs, state: [np.argmax(model([obs, state])[0], axis=-1), 0 * state]  # noqa: E731
        monkeypatch.setitem(exporting.RUNTIMES, format, forgetful)
        with pytest.raises(UsageError, match="refused: the export differs on"):
            export(model="model.keras", env_id="CartPole-v1", format=format, out="forgetful")


class Bounded(gym.Env):
    """Shows what MuJoCo's environments do, two float64 numbers here; actions lie between the bounds that are given."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, low, high, dtype):
        self.action_space = gym.spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=np.dtype(dtype))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=2), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.np_random.normal(size=2), 0.0, False, False, {}


gym.register("export/Bounded-v0", entry_point=Bounded)
BOUNDS = {
    "asymmetric": {"low": [-2, 0, 100], "high": [5, 1, 101], "dtype": "float32"},
    "tiny": {"low": [-1e-6, 0], "high": [1e-6, 2e-6], "dtype": "float32"},
    "float64": {"low": [-0.3, -1000], "high": [0.7, 1000], "dtype": "float64"},
}


def squashed(low, high, stretch=1.0):
    """A policy with tanh and Rescaling: two numbers → an action between the bounds, or beyond them by `stretch`."""
    low, high = np.array(low, float), np.array(high, float)
    scale, offset = (stretch * (high - low) / 2).tolist(), ((high + low) / 2).tolist()
    obs = keras.Input((2,))
    hidden = keras.layers.Dense(16, "tanh")(obs)
    unit = keras.layers.Dense(len(low), "tanh")(hidden)
    model = keras.Model(obs, keras.layers.Rescaling(scale, offset)(unit))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weight.shape, scale=0.3) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_an_export_of_a_policy_of_vectors_gives_the_actions_within_their_bounds(tmp_path, monkeypatch, bounds, format):
    if format == "onnx" and not all(map(importlib.util.find_spec, NEEDED["onnx"])):
        pytest.skip("the extra onnx is not installed here")
    monkeypatch.chdir(tmp_path)
    low, high = (np.array(BOUNDS[bounds][end], np.float32) for end in ("low", "high"))
    obs = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
    for stretch in (1.0, 3.0):
        model = squashed(BOUNDS[bounds]["low"], BOUNDS[bounds]["high"], stretch)
        model.save("model.keras")
        out = tmp_path / f"policy-{stretch}"
        export(model="model.keras", env_id="export/Bounded-v0", env_kwargs=BOUNDS[bounds], format=format, out=str(out))
        (action,) = RUNTIMES[format](out)(obs)
        assert action.dtype == np.float32 and action.shape == (200, len(low))
        assert ((low <= action) & (action <= high)).all()
        np.testing.assert_allclose((action - np.clip(model(obs), low, high)) / (high - low), 0, atol=1e-5)
        at_a_bound = ((action == low) | (action == high)).mean()
        assert at_a_bound == 0 if stretch == 1 else 0.1 < at_a_bound < 0.9


def test_an_export_whose_vectors_differ_is_not_kept(tmp_path, monkeypatch):
    """However small the bounds are: what differs is told in parts of their distance."""
    monkeypatch.chdir(tmp_path)
    bounds = BOUNDS["tiny"]
    model = squashed(bounds["low"], bounds["high"])
    model.save("model.keras")
    width = np.array(bounds["high"]) - np.array(bounds["low"])
    for part, is_kept in ((1e-2, False), (np.nan, False), (1e-5, True)):
        monkeypatch.setitem(RUNTIMES, "saved_model", lambda path, part=part: lambda obs: [model(obs) + part * width])
        flags = {"model": "model.keras", "env_id": "export/Bounded-v0", "env_kwargs": bounds, "out": f"out-{part}"}
        if is_kept:
            assert export(**flags).exists()
        else:
            with pytest.raises(UsageError, match="refused: the export differs on 512 of 512 observations"):
                export(**flags)
            assert not (tmp_path / f"out-{part}").exists()


@pytest.mark.parametrize(("format", "missing"), [(f, package) for f in NEEDED for package in NEEDED[f]])
def test_a_runtime_that_is_missing_gets_one_line_that_installs_it(run, tmp_path, monkeypatch, format, missing):
    found = {"ai_edge_litert", "tf2onnx", "onnxruntime"} - {missing}
    monkeypatch.setattr("importlib.util.find_spec", lambda package: package if package in found else None)
    with pytest.raises(
        UsageError, match=rf"--format={format} needs the package {missing}: pip install -e .\[{format}\]"
    ):
        export(run=str(run), format=format, out=str(tmp_path / "policy"))
    assert list(tmp_path.iterdir()) == []


def test_the_deprecated_interpreter_of_tensorflow_is_not_used(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.lite, "Interpreter", None)
    export(run=str(run), format="litert", out=str(tmp_path / "policy.tflite"))


@pytest.mark.slow
def test_states_that_are_numbers_and_pixels_that_are_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = keras.Input((), dtype="int32")
    keras.Model(state, keras.layers.Embedding(16, 4)(state)).save("lake.keras")
    export(model="lake.keras", env_id="FrozenLake-v1", format="litert", out="lake.tflite")
    frames = keras.Input((4, 84, 84), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(frames)
    keras.Model(frames, keras.layers.Dense(6)(keras.layers.Flatten()(scaled))).save("pong.keras")
    export(model="pong.keras", env_id="ALE/Pong-v5", format="litert", out="pong.tflite", steps=4)


def test_an_export_goes_into_a_folder_of_any_name(run, tmp_path):
    export(run=str(run), out=str(tmp_path / "[0.01]*?" / "policy"), steps=1)
    assert [path.name for path in (tmp_path / "[0.01]*?").iterdir()] == ["policy"]


def test_what_a_format_cannot_hold_is_refused_in_one_line(run, tmp_path, monkeypatch):
    def fails(path):
        raise RuntimeError("Select TensorFlow op(s)\nare not supported")

    monkeypatch.setitem(exporting.RUNTIMES, "litert", fails)
    with pytest.raises(UsageError, match="cannot be exported as litert: Select TensorFlow op.s. are not supported"):
        export(run=str(run), format="litert", out=str(tmp_path / "new" / "folder" / "policy.tflite"), steps=1)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_acts_otherwise_is_not_kept(run, tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.RUNTIMES, "litert", lambda path: lambda obs: [np.zeros(len(obs), int)])
    with pytest.raises(UsageError, match=r"refused: the export differs on \d+ of 512 observations"):
        export(run=str(run), format="litert", out=str(tmp_path / "policy.tflite"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one of --run=DIR and --model=FILE"),
        (["--run=x", "--format=pickle"], "one of saved_model, litert, onnx"),
        (["--run=nowhere"], "config.json is missing"),
        (["--model=nothing.keras", "--env_id=CartPole-v1"], "there is no model nothing.keras"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, run_recipe, no_tensorflow, flags, said):
    done = run_recipe("export", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
