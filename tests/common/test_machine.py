"""A result names the commit of its code, and says when the code was another."""

import io
import shutil
import subprocess
from types import SimpleNamespace

import ale_py
import numpy as np
import pytest

from common import lazy, machine


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit with a room of code and a results folder."""
    for path in ("common/machine.py", "recipes/a.py", "book/results.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("x = 1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "common" / "machine.py"))
    return tmp_path


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_only_changed_code_makes_it_dirty(repository):
    clean = machine.commit()
    assert len(clean) == 12 and int(clean, 16) >= 0
    (repository / "book" / "results.json").write_text("x = 2\n")  # what a benchmark writes as it goes
    assert machine.commit() == clean
    (repository / "recipes" / "a.py").write_text("x = 2\n")
    assert machine.commit() == f"{clean}-dirty"


def test_without_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "common" / "machine.py"))
    assert machine.commit() == ""


@pytest.mark.parametrize(
    ("name", "expected"), [("numpy", np.__version__), ("ale-py", ale_py.__version__), ("no-such", "unknown")]
)
def test_a_package_without_metadata_knows_its_version(name, expected, monkeypatch):
    """As TensorFlow does that was installed as `tensorflow-cpu`, or by conda."""

    def missing(name):
        raise machine.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.metadata, "version", missing)
    assert machine.version(name) == expected
    assert machine.surroundings()["versions"].keys() == {"python", *machine.PACKAGES}


@pytest.mark.parametrize(
    ("cpuinfo", "gpus", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile", None, True),
        ("flags\t\t: fpu amx_bf16", None, True),
        ("Features\t: fp asimd i8mm bf16", None, True),
        ("flags\t\t: fpu avx2 avx512f", [], False),
        ("model name\t: not_bf16\nflags\t\t: fpu avx2", ["GPU:0"], True),
        (None, [], False),  # no such file, as on a Mac
    ],
)
def test_bfloat16_is_told_by_the_processor_or_else_by_a_gpu(cpuinfo, gpus, expected, monkeypatch):
    """TensorFlow is not asked, which fails here where `gpus` is None, if the processor has the instructions."""

    def opened(path):
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return io.StringIO(cpuinfo)

    monkeypatch.setattr(machine, "open", opened, raising=False)
    devices = {"GPU": gpus}
    monkeypatch.setattr(lazy, "tf", SimpleNamespace(config=SimpleNamespace(list_physical_devices=devices.__getitem__)))
    found = machine.has_bfloat16()
    assert found is expected
