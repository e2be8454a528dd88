"""A checkpoint comes back as it was written, or is refused by name and changes nothing."""

import json
import shutil

import numpy as np
import pytest

from common import checkpoint
from common.cli import UsageError
from common.lazy import keras

WHO = {"recipe": "a_recipe", "env_id": "an_env"}


def network(seed, units=3):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    optimizer.apply([np.full(v.shape, 0.5, np.float32) for v in model.trainable_variables], model.trainable_variables)
    return {"model": model, "optimizer": optimizer}


def numbers(tensors):
    return [v.numpy() for t in tensors.values() for v in t.variables]


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_round_trip(tmp_path):
    saved, loaded = network(0), network(1)
    rng = np.random.default_rng(0)
    rng.random(3)
    state = {"step": 7, "rng": rng.bit_generator.state}
    arrays = {"frames": np.arange(6, dtype=np.uint8).reshape(2, 3), "flags": np.array([True, False])}
    checkpoint.save(tmp_path, 7, WHO, saved, state, arrays)
    state_back, arrays_back = checkpoint.restore(tmp_path, WHO, loaded)
    assert_equal(numbers(saved), numbers(loaded))
    assert arrays_back.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], arrays_back[name])
    again = np.random.default_rng(5)
    again.bit_generator.state = state_back["rng"]
    assert again.random() == rng.random()


def test_the_last_two_are_kept_and_the_newest_is_read(tmp_path):
    for step in (10, 20, 30, 30):
        checkpoint.save(tmp_path, step, WHO, network(step), {"step": step})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000000020", "000000000030"]
    loaded = network(1)
    assert checkpoint.restore(tmp_path, WHO, loaded)[0] == {"step": 30}
    assert_equal(numbers(loaded), numbers(network(30)))


def test_what_is_not_finite_is_not_saved(tmp_path):
    checkpoint.save(tmp_path, 10, WHO, network(10), {"step": 10})
    broken = network(20)
    broken["model"].set_weights([w * np.nan for w in broken["model"].get_weights()])
    with pytest.raises(FloatingPointError, match="the model is not finite at step 20"):
        checkpoint.save(tmp_path, 20, WHO, broken, {"step": 20})
    with pytest.raises(FloatingPointError, match="table is not finite at step 20"):
        checkpoint.save(tmp_path, 20, WHO, network(20), {"step": 20}, {"table": np.array([0.0, np.inf])})
    assert checkpoint.restore(tmp_path, WHO, network(1))[0] == {"step": 10}


def test_a_damaged_one_is_named_with_the_one_before(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, WHO, network(step), {"step": step})
    (tmp_path / "000000000020" / "state.json").write_text("{")
    with pytest.raises(UsageError, match="000000000020 is damaged.*remove it to go on from 000000000010"):
        checkpoint.restore(tmp_path, WHO, network(1))


def test_a_torn_write_leaves_the_one_before(tmp_path):
    checkpoint.save(tmp_path, 10, WHO, network(10), {"step": 10})
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path, 20, WHO, network(20), {"step": object()})  # JSON refuses it half-way
    assert (tmp_path / ".000000000020").exists()
    assert checkpoint.restore(tmp_path, WHO, network(1))[0] == {"step": 10}
    checkpoint.save(tmp_path, 30, WHO, network(30), {"step": 30})  # clears what was torn
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000000000010", "000000000030"]


@pytest.mark.parametrize(
    "file", ["tensors.data-00000-of-00001", "tensors.index", "state.json", "frames.npy", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["truncated", "one byte", "missing"])
def test_damage_is_named_and_nothing_is_changed(tmp_path, file, damage):
    checkpoint.save(tmp_path, 10, WHO, network(0), {"step": 10}, {"frames": np.ones(100, np.uint8)})
    path = tmp_path / "000000000010" / file
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "one byte":
        path.write_bytes(b"\xff" + content[1:])
    else:
        path.unlink()
    tensors = network(1)
    before = numbers(tensors)
    with pytest.raises(UsageError, match="000000000010 is damaged"):
        checkpoint.restore(tmp_path, WHO, tensors)
    assert_equal(before, numbers(tensors))


def test_foreign_checkpoints_are_named(tmp_path):
    checkpoint.save(tmp_path, 10, {**WHO, "env_id": "another"}, network(0), {})
    tensors = network(1)
    before = numbers(tensors)
    with pytest.raises(UsageError, match="foreign.*another.*an_env"):
        checkpoint.restore(tmp_path, WHO, tensors)
    checkpoint.save(tmp_path, 20, WHO, network(0, units=4), {})
    with pytest.raises(UsageError, match="other shapes"):
        checkpoint.restore(tmp_path, WHO, tensors)
    manifest = tmp_path / "000000000020" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(UsageError, match="not a checkpoint that this version reads"):
        checkpoint.restore(tmp_path, WHO, tensors)
    with pytest.raises(UsageError, match="no checkpoint in"):
        checkpoint.restore(tmp_path / "empty", WHO, tensors)
    assert_equal(before, numbers(tensors))


@pytest.mark.parametrize("copy", ["000000000020 copy", "000000000020.bak", "20", ".000000000020.bak"])
def test_a_copy_beside_the_checkpoints_is_neither_read_nor_removed(tmp_path, copy):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, WHO, network(step), {"step": step})
    shutil.copytree(tmp_path / "000000000020", tmp_path / copy)
    (tmp_path / copy / "state.json").write_text("{")
    assert checkpoint.restore(tmp_path, WHO, network(1))[0] == {"step": 20}
    for step in (30, 40):
        checkpoint.save(tmp_path, step, WHO, network(step), {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([copy, "000000000030", "000000000040"])


def test_a_copy_under_another_step_is_named(tmp_path):
    for step in (10, 20):
        checkpoint.save(tmp_path, step, WHO, network(step), {"step": step})
    shutil.copytree(tmp_path / "000000000020", tmp_path / "000000000099")
    with pytest.raises(
        UsageError, match="99 is damaged: it was saved at step 20.*remove it to go on from 000000000020"
    ):
        checkpoint.restore(tmp_path, WHO, network(1))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"../../x": [1, 1]}, "does not name the files"), ({"/etc/passwd": [1, 1]}, "does not name the files"),
        ({}, "does not name the files"), ([], "not a checkpoint that this version reads"),
        (None, "not a checkpoint that this version reads"),
    ],
)  # fmt: skip
def test_a_manifest_that_names_other_files_is_refused(tmp_path, files, said):
    checkpoint.save(tmp_path, 10, WHO, network(0), {"step": 10})
    path = tmp_path / "000000000010" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {**manifest["files"], **files} if files else files
    path.write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=said):
        checkpoint.restore(tmp_path, WHO, network(1))


@pytest.mark.parametrize("text", ["", "[]", "null", "3"])
def test_a_manifest_that_holds_something_else_is_refused(tmp_path, text):
    checkpoint.save(tmp_path, 10, WHO, network(0), {"step": 10})
    (tmp_path / "000000000010" / "manifest.json").write_text(text)
    with pytest.raises(UsageError, match="000000000010 is damaged"):
        checkpoint.restore(tmp_path, WHO, network(1))


@pytest.mark.parametrize("name", ["[0.01]*?", "back\\slash", "a b", "-x", "ä", "new\nline"])
def test_folders_of_any_name(tmp_path, name):
    saved, loaded = network(0), network(1)
    checkpoint.save(tmp_path / name, 10, WHO, saved, {"step": 10})
    checkpoint.restore(tmp_path / name, WHO, loaded)
    assert_equal(numbers(saved), numbers(loaded))


def test_networks_are_written_before_the_checkpoint_and_only_if_everything_is_finite(tmp_path):
    tensors, path = network(1), tmp_path / "model.keras"
    with pytest.raises(FloatingPointError):
        checkpoint.save(tmp_path / "all", 10, WHO, tensors, {}, {"table": np.array([np.nan])}, {path: tensors["model"]})
    assert not path.exists()
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "all", 10, WHO, tensors, {"step": object()}, None, {path: tensors["model"]})
    assert path.exists() and not checkpoint.checkpoints(tmp_path / "all")
