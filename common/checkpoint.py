"""Checkpoints that are whole or not there: a folder each, renamed into place, checked by size and checksum when read.

A checkpoint holds three things, none of which can run code: TensorFlow variables (`tf.train.Checkpoint`), a JSON file
with counters and the states of random generators, and numpy arrays (`allow_pickle=False`). The last two checkpoints
are kept.
"""

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np

from common.cli import UsageError
from common.lazy import tf

KEEP = 2
FORMAT = 1


def save(folder, step, identity, tensors, state, arrays=None):
    """Write checkpoint `step` into `folder` and drop all but the last two.

    Args:
        folder: the run's `checkpoint/`.
        step: orders the checkpoints.
        identity: dict of what must agree when it is read (recipe, environment).
        tensors: dict name → model, optimizer or other trackable.
        state: dict that JSON can hold.
        arrays: dict name → numpy array.

    A step that was saved before is not saved again.

    Raises:
        FloatingPointError: a variable is not finite; earlier checkpoints stay.
        OSError: the disk is full or read-only; earlier checkpoints stay.
    """
    folder = Path(folder)
    final = folder / f"{step:012d}"
    if final.exists():
        return
    for name, tensor in tensors.items():
        if not all(np.isfinite(v.numpy()).all() for v in tensor.variables):
            raise FloatingPointError(f"the {name} is not finite at step {step}; the last good checkpoint is kept")
    for torn in folder.glob(".[0-9]*"):  # left by a process that was killed while saving
        shutil.rmtree(torn, ignore_errors=True)
    new = folder / f".{step:012d}"
    new.mkdir(parents=True)
    try:
        tf.train.Checkpoint(**tensors).write(str(new / "tensors"))
    except tf.errors.OpError as error:
        raise OSError(f"{new} cannot be written: {error.message}") from None
    for name, array in (arrays or {}).items():
        np.save(new / f"{name}.npy", array, allow_pickle=False)
    (new / "state.json").write_text(json.dumps(state))
    files = {path.name: [path.stat().st_size, checksum(path)] for path in sorted(new.iterdir())}
    (new / "manifest.json").write_text(json.dumps({"format": FORMAT, "identity": identity, "files": files}))
    os.replace(new, final)
    for stale in checkpoints(folder)[:-KEEP]:
        shutil.rmtree(stale, ignore_errors=True)


def restore(folder, identity, tensors):
    """Read the newest checkpoint of `folder` into `tensors`.

    Args:
        folder: the run's `checkpoint/`.
        identity: as it was saved.
        tensors: dict name → model, optimizer or other trackable, built already; changed only if every check passed.

    Returns:
        (state, arrays) as they were saved.

    Raises:
        UsageError: no checkpoint, or one that is damaged, foreign, or of a network with other shapes.
    """
    found = checkpoints(folder)
    if not found:
        raise UsageError(f"no checkpoint in {folder}: the run was stopped before its first one; start it anew")
    path, older = found[-1], found[:-1]
    manifest = _json(path / "manifest.json", path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or "files" not in manifest:
        raise UsageError(f"{path} is not a checkpoint that this version reads")
    if manifest.get("identity") != identity:
        raise UsageError(f"{path} is foreign: saved by {manifest.get('identity')}, wanted {identity}")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file() or [file.stat().st_size, checksum(file)] != expected:
            hint = f"; remove it to go on from {older[-1].name}" if older else ""
            raise UsageError(f"{path} is damaged: {name} is not as it was written{hint}")
    reader = tf.train.load_checkpoint(str(path / "tensors"))
    shapes = sorted(map(tuple, reader.get_variable_to_shape_map().values()))
    wanted = sorted(tuple(v.shape) for t in tensors.values() for v in _weights(t))
    if [s for s in shapes if len(s)] != [s for s in wanted if len(s)]:
        raise UsageError(f"{path} holds a network of other shapes")
    tf.train.Checkpoint(**tensors).read(str(path / "tensors")).assert_existing_objects_matched()
    arrays = {file.stem: np.load(file, allow_pickle=False) for file in path.glob("*.npy")}
    return _json(path / "state.json", path), arrays


def _weights(tensor):
    """The variables that TensorFlow saves: of a model not the generators of its dropout."""
    return getattr(tensor, "weights", None) or tensor.variables


def checkpoints(folder):
    """Paths of the whole checkpoints in `folder`, oldest first."""
    return sorted(path for path in Path(folder).glob("[0-9]*") if path.is_dir())


def checksum(path):
    """CRC-32 of a file: a guard against accidents, not against forgery."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc


def _json(file, path):
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        raise UsageError(f"{path} is damaged: {file.name} cannot be read") from None
