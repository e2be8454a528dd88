"""Files are whole or not there, and tables come back as they were written."""

import os

import numpy as np
import pytest

from common.files import read_csv, replacing, write_text


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
