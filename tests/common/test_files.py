"""Files are whole or not there, and tables come back as they were written."""

import json
import os
import zipfile

import numpy as np
import pytest

from common.cli import UsageError
from common.files import (
    NEW_IN_KERAS,
    drop_unused_arguments,
    parents_of,
    read_csv,
    read_episodes,
    replacing,
    without_wildcards,
    write_network,
    write_text,
)  # fmt: skip
from common.lazy import keras


def test_files_are_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(ZeroDivisionError), replacing(path) as left:
        raise ZeroDivisionError
    left.write_text("torn")
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_users_umask_decides_who_may_read(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == mode


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr("common.files.os.fsync", lambda file: order.append("fsync"))
    rename = os.replace
    monkeypatch.setattr("common.files.os.replace", lambda a, b: (order.append("replace"), rename(a, b)))
    write_text(tmp_path / "file.txt", "x")
    assert order == ["fsync", "replace"]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_table(tmp_path, rows):
    lines = ["a,b", *(f"{i},{i / 2}" for i in range(rows))]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    table = read_csv(tmp_path / "table.csv")
    assert list(table) == ["a", "b"]
    np.testing.assert_array_equal(table["a"], np.arange(rows))
    np.testing.assert_array_equal(table["b"], np.arange(rows) / 2)


def network():
    obs = keras.Input((2,))
    hidden = keras.layers.Dense(3, "relu", kernel_initializer=keras.initializers.HeUniform(seed=0))(obs)
    return keras.Model(obs, keras.layers.Dense(1)(hidden))


def arguments(path):
    """Every (name, value) in the description of a saved network, however deep."""
    with zipfile.ZipFile(path) as archive:
        found, waiting = [], [json.loads(archive.read("config.json"))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found


def test_a_network_names_no_argument_that_older_versions_of_keras_refuse(tmp_path):
    model, obs = network(), np.ones((4, 2), np.float32)
    model.save(tmp_path / "keras.keras")
    write_network(tmp_path / "ours.keras", model)
    before, after = arguments(tmp_path / "keras.keras"), arguments(tmp_path / "ours.keras")
    assert {name for name, value in before if value is None and name in NEW_IN_KERAS} == NEW_IN_KERAS
    assert not {name for name, _ in after} & NEW_IN_KERAS
    assert len(after) == len([name for name, _ in before if name not in NEW_IN_KERAS])  # nothing else has gone
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keras.keras", "ours.keras"]
    again, plain = (keras.models.load_model(tmp_path / f"{name}.keras") for name in ("ours", "keras"))
    assert again.get_config() == plain.get_config()
    np.testing.assert_array_equal(again(obs), model(obs))


def test_the_weights_of_a_network_stay_byte_for_byte_and_arguments_in_use_stay(tmp_path):
    path = tmp_path / "model.keras"
    network().save(path)

    def parts():
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    before = parts()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in before.items():
            archive.writestr(name, content.replace(b'"input_axes": null', b'"input_axes": [0]', 1))
    drop_unused_arguments(path)
    after = parts()
    assert list(after) == list(before)
    assert [name for name in before if after[name] != before[name]] == ["config.json"]
    assert [(name, value) for name, value in arguments(path) if name in NEW_IN_KERAS] == [("input_axes", [0])]
    written = path.read_bytes()
    drop_unused_arguments(path)
    assert path.read_bytes() == written


def test_a_network_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    write_network(path, network())
    before = path.read_bytes()
    monkeypatch.setattr("common.files.json.dumps", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_network(path, network())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line is not a,b"),
        ("\n", "its first line is not a,b"),
        ("a,c\n1,2\n", "its first line is not a,b"),
        ("b\n1\n", "its first line is not a,b"),
        ("a,b\n1,2\n3\n", "line 3 is not 2 numbers"),
        ("a,b\n1,2,3\n", "line 2 is not 2 numbers"),
        ("a,b\n1,2\n\n3,4\n", "line 3 is not 2 numbers"),
        ("a,b\n1,two\n", "line 2 is not 2 numbers"),
        ("a,b\n#1,2\n", "line 2 is not 2 numbers"),
        ("a,b\n1,\n", "line 2 is not 2 numbers"),
        ("a,b\nnan,2\n", "line 2 is not 2 numbers"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=f"table.csv is damaged: {said}"):
        read_csv(tmp_path / "table.csv", ("a", "b"))


def test_a_table_that_is_missing_or_is_no_text_is_named(tmp_path):
    with pytest.raises(UsageError, match="table.csv is missing"):
        read_csv(tmp_path / "table.csv")
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="table.csv cannot be read"):
        read_csv(tmp_path / "table.csv")


def test_only_the_rows_that_are_asked_for_are_read(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\nrubbish\n")
    assert read_csv(tmp_path / "table.csv", rows=2)["b"].tolist() == [2, 4]


def test_a_game_that_was_taken_out_is_noticed(tmp_path):
    header, rows = "episode,step,seconds,episode_return,episode_length,loss\n", ["1,5,0,1,5,nan\n", "3,9,0,1,4,0\n"]
    (tmp_path / "episodes.csv").write_text(header + "".join(rows))
    with pytest.raises(UsageError, match="line 3 is not that of game 2"):
        read_episodes(tmp_path)


def test_folders_that_were_made_for_nothing_go_and_others_stay(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), parents_of(tmp_path / "there" / "a" / "b" / "file"):
        assert (tmp_path / "there" / "a" / "b").is_dir()
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    with pytest.raises(ZeroDivisionError), parents_of(tmp_path / "there" / "a" / "file"):
        (tmp_path / "there" / "a" / "other").write_text("")
        raise ZeroDivisionError
    assert (tmp_path / "there" / "a" / "other").exists()


def test_a_path_without_wildcards_leads_to_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "[0.01]*?"
    folder.mkdir()
    (folder / "file").write_text("x")
    for name in (folder, folder.name):
        with without_wildcards(name) as plain:
            assert (plain / "file").read_text() == "x" and not set("[]*?") & set(str(plain))
    assert (folder / "file").exists()
