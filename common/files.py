"""Files that are written whole or not at all: text, tables, networks."""

import contextlib
import fcntl
import itertools
import json
import math
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from common.cli import UsageError

# Arguments that Keras 3.15 writes into a model even where they are not used, and that Keras 3.10 to 3.14 refuse.
NEW_IN_KERAS = {"quantization_config", "input_axes", "output_axes"}

EPISODE_COLUMNS = ("episode", "step", "seconds", "episode_return", "episode_length")  # then the recipe's own


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`, with its suffix; it replaces `path` if the block succeeds."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.new{path.suffix}")  # one name, so the next write replaces a leftover
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sync(path):
    """Wait until the file is on the disk, so that a rename never comes before the content."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def hold(folder):
    """Lock a folder for this process until the file descriptor that is returned is closed.

    Raises:
        UsageError: another process, which is named where the system tells it, holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"{folder} is in use by {holder_of(folder)}") from None
    return descriptor


def holder_of(folder):
    """The process that holds a lock on a folder, in words."""
    with contextlib.suppress(OSError), open("/proc/locks") as locks:
        for line in locks:
            words = line.split()  # number, kind, mode, access, process, device:device:inode, …
            if words[1] == "FLOCK" and words[5].split(":")[-1] == str(Path(folder).stat().st_ino):
                return f"process {words[4]}"
    return "another process"


def write_text(path, text):
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path, value):
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_network(path, network):
    """Write a Keras model, whole or not at all, in a form that Keras 3.10 and newer load."""
    with replacing(path) as temporary:
        network.save(temporary)
        drop_unused_arguments(temporary)


def drop_unused_arguments(path):
    """Remove from a `.keras` file those arguments of layers that are null and unknown to older versions of Keras.

    The weights stay as they are, byte for byte, and a file without such arguments is left alone.
    """
    with zipfile.ZipFile(path) as archive:
        parts = [(part, archive.read(part)) for part in archive.infolist()]
        text = archive.read("config.json")
    config = json.loads(text, object_hook=_in_use)
    if config == json.loads(text):
        return
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts:
            archive.writestr(part, json.dumps(config) if part.filename == "config.json" else content)


def _in_use(arguments):
    return {name: value for name, value in arguments.items() if value is not None or name not in NEW_IN_KERAS}


def read_json(path):
    """The object that a JSON file holds, as a dict; UsageError if the file is missing or holds anything else."""
    try:
        value = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UsageError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} cannot be read: it holds a {type(value).__name__} instead of named values")
    return value


def read_csv(path, columns=(), rows=None):
    """Read a table with a line of names above lines of numbers, as a dict of float arrays, one per column.

    Args:
        path: of the file. A last line that does not end is one that was only written in part, and is left out.
        columns: names with which the table must begin, and whose numbers must be finite.
        rows: how many lines below the names to read; None reads all of them.

    Raises:
        UsageError: the file is missing or is no such table. The first line that is not right is named.
    """
    try:
        with open(path) as file:
            lines = [line for line in itertools.islice(file, None if rows is None else 1 + rows) if line.endswith("\n")]
    except FileNotFoundError:
        raise UsageError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    names = lines[0].strip().split(",") if lines else []
    if not lines or tuple(names[: len(columns)]) != tuple(columns):
        raise UsageError(f"{path} is damaged: its first line is not {','.join(columns) or 'there'}")
    cells = []
    for number, line in enumerate(lines[1:], 2):
        try:
            cells.append([float(cell) for cell in line.split(",")])
        except ValueError:
            cells.append([])
        if len(cells[-1]) != len(names) or not all(map(math.isfinite, cells[-1][: len(columns)])):
            raise UsageError(f"{path} is damaged: line {number} is not {len(names)} numbers")
    numbers = np.array(cells).reshape(-1, len(names))
    return dict(zip(names, numbers.T, strict=True))


def exact(value):
    """A number as text, with enough digits to read the same number again."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_episodes(folder, rows=None):
    """`episodes.csv` of a run, one entry per game, or its first `rows` games; UsageError where it is damaged."""
    path = Path(folder) / "episodes.csv"
    table = read_csv(path, EPISODE_COLUMNS, rows)
    wrong = np.flatnonzero(table["episode"] != np.arange(1, len(table["episode"]) + 1))
    if len(wrong):
        raise UsageError(f"{path} is damaged: line {wrong[0] + 2} is not that of game {wrong[0] + 1}")
    return table


@contextlib.contextmanager
def parents_of(path):
    """Make the folders above `path`; where the block fails, those that were made here and are empty are removed."""
    made = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextlib.contextmanager
def without_wildcards(folder):
    """Yield another path to an existing folder, for TensorFlow, which takes a path that it reads for a pattern."""
    with tempfile.TemporaryDirectory() as temporary:
        link = Path(temporary) / "folder"
        link.symlink_to(Path(folder).absolute(), target_is_directory=True)
        yield link
