"""What is loaded can neither run code nor pass for another."""

import json
import zipfile

import gymnasium as gym
import numpy as np
import pytest

from common.cli import UsageError
from common.lazy import keras
from common.saved import load_policy, read_settings

VECTOR, TWO = gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2)


def small_model(actions=2, **heads):
    obs = keras.Input((4,))
    outputs = [keras.layers.Dense(actions)(obs), *(keras.layers.Dense(width)(obs) for width in heads.values())]
    return keras.Model(obs, outputs if heads else outputs[0])


def test_a_model_comes_back_and_of_several_outputs_the_first(tmp_path):
    obs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    one, two = small_model(), small_model(value=1)
    one.save(tmp_path / "one.keras")
    two.save(tmp_path / "two.keras")
    np.testing.assert_allclose(load_policy(tmp_path / "one.keras", VECTOR, TWO)(obs), one(obs), rtol=1e-6)
    np.testing.assert_allclose(load_policy(tmp_path / "two.keras", VECTOR, TWO)(obs), two(obs)[0], rtol=1e-6)


def test_a_model_that_does_not_fit_is_refused_with_both_shapes(tmp_path):
    small_model().save(tmp_path / "model.keras")
    with pytest.raises(UsageError, match=r"maps \(4,\) to \(2,\); the environment needs \(6,\) to \(3,\)"):
        load_policy(tmp_path / "model.keras", gym.spaces.Box(-1, 1, (6,)), gym.spaces.Discrete(3))
    with pytest.raises(UsageError, match=r"the environment needs \(\) to \(2,\)"):
        load_policy(tmp_path / "model.keras", gym.spaces.Discrete(16), TWO)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not a zip at all"])
def test_a_damaged_model_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(UsageError, match="cannot be loaded") as refused:
        load_policy(tmp_path / "model.keras", VECTOR, TWO)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="there is no model"):
        load_policy(tmp_path / "other.keras", VECTOR, TWO)


def test_a_hostile_model_runs_nothing(tmp_path):
    """A Lambda layer carries Python bytecode: here one that would write a file when it is loaded or called."""
    loot = tmp_path / "loot"
    obs = keras.Input((4,))
    evil = keras.layers.Lambda(lambda x: (open("LOOT", "w").close(), x)[1], output_shape=(4,))
    keras.Model(obs, keras.layers.Dense(2)(evil(obs))).save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as source, zipfile.ZipFile(tmp_path / "evil.keras", "w") as hostile:
        for item in source.infolist():
            hostile.writestr(item, source.read(item).replace(b"LOOT", str(loot).encode()))
    (tmp_path / "LOOT").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "good.keras", VECTOR, TWO)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "evil.keras", VECTOR, TWO)
    assert not loot.exists() and not (tmp_path / "LOOT").exists()


def test_a_model_that_names_a_function_of_python_is_refused(tmp_path):
    """The configuration inside the file asks for os.system where a layer should stand."""
    small_model().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as source:
        files = {item: source.read(item) for item in source.namelist()}
    config = json.loads(files["config.json"])
    config["config"]["layers"][1].update(module="os", class_name="system", registered_name=None)
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as hostile:
        for name, content in files.items():
            hostile.writestr(name, content)
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_policy(tmp_path / "evil.keras", VECTOR, TWO)


def test_settings_of_a_run_and_of_a_card(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {"env_id": "A-v0"}, "env_kwargs": {"x": 1}}))
    (tmp_path / "card.json").write_text(json.dumps({"env_id": "B-v0", "env_kwargs": {}, "score": 3}))
    assert read_settings(tmp_path / "config.json") == ("A-v0", {"x": 1})
    assert read_settings(tmp_path / "card.json") == ("B-v0", {})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"env_id": 3, "env_kwargs": {}}', '{"env_id": "A-v0"}', "\ufffd{"])
def test_settings_that_say_nothing_are_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        read_settings(tmp_path / "config.json")
    with pytest.raises(UsageError, match="is missing"):
        read_settings(tmp_path / "none.json")
