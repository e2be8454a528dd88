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
