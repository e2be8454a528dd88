"""Files that are written whole or not at all: text, tables, networks."""

import contextlib
import fcntl
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from common.cli import UsageError

# Arguments that Keras 3.15 writes into a model even where they are not used, and that Keras 3.10 to 3.14 refuse.
NEW_IN_KERAS = {"quantization_config", "input_axes", "output_axes"}


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


def read_csv(path):
    """Read a table with a line of names above lines of numbers, as a dict of float arrays, one per column."""
    with open(path) as file:
        names = file.readline().strip().split(",")
        rows = [line for line in file if line.endswith("\n")]  # not one that is only written in part
    numbers = np.loadtxt(rows, delimiter=",", ndmin=2) if rows else np.zeros((0, len(names)))
    return dict(zip(names, numbers.T, strict=True))


def exact(value):
    """A number as text, with enough digits to read the same number again."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_episodes(folder):
    """`episodes.csv` of a run, one entry per game."""
    return read_csv(Path(folder) / "episodes.csv")
