"""Checkpoints that are whole or not there: each is a folder that is renamed into place when it is complete.

Sizes and checksums of its files are checked when it is read.

`Carry` names what a loop carries from one update to the next. A checkpoint holds all of it in three formats, none of
which can run code: TensorFlow variables (`tf.train.Checkpoint`), a JSON file with counters and the states of random
generators, and numpy arrays (`allow_pickle=False`). The last two checkpoints are kept.
"""

import json
import os
import re
import shutil
import types
import zlib
from pathlib import Path

import numpy as np

from common.cli import UsageError
from common.files import read_json, sync, without_wildcards, write_network
from common.lazy import keras, tf

KEEP = 2
FORMAT = 2  # of what a run puts into a checkpoint


class Carry(types.SimpleNamespace):
    """What a loop carries from one update to the next, by name.

    It can be: numbers and flags; numpy arrays, which are refilled in place; numpy Generators; Keras models and
    optimizers; objects with `state()` and `load(state)`, such as a replay memory or environments that can be restored;
    and functions without arguments, each of which makes a Keras model of the rest when the networks are written.
    """

    def parts(self):
        """All of it in the forms in which it is saved: dicts of trackables, of what JSON holds, and of arrays.

        Raises:
            TypeError: a value is of a kind that cannot be saved.
        """
        tensors, state, arrays = {}, {}, {}
        for name, value in vars(self).items():
            if hasattr(value, "variables"):
                tensors[name] = value
            elif isinstance(value, np.ndarray):
                arrays[name] = value
            elif isinstance(value, np.random.Generator):
                state[name] = value.bit_generator.state
            elif hasattr(value, "state"):
                for key, part in value.state().items():
                    (arrays if isinstance(part, np.ndarray) else state)[f"{name}.{key}"] = part
            elif isinstance(value, bool | int | float | np.generic):
                state[name] = value.item() if isinstance(value, np.generic) else value
            elif not callable(value):
                raise TypeError(f"{name} cannot be carried: {type(value).__name__} has no state that can be saved")
        return tensors, state, arrays

    def take(self, state, arrays):
        """Take over what `parts` returned, except for the trackables; UsageError if it does not fit."""
        found = {**state, **arrays}
        for name, value in list(vars(self).items()):
            try:
                if isinstance(value, np.ndarray):
                    if value.shape != found[name].shape:
                        raise ValueError(f"saved with the shape {found[name].shape}, here {value.shape}")
                    value[...] = found[name]
                elif isinstance(value, np.random.Generator):
                    value.bit_generator.state = found[name]
                elif hasattr(value, "state"):
                    start = f"{name}."
                    value.load({key.removeprefix(start): part for key, part in found.items() if key.startswith(start)})
                elif not callable(value) and not hasattr(value, "variables"):
                    setattr(self, name, found[name])
            except (KeyError, ValueError, TypeError) as error:
                raise UsageError(f"the checkpoint does not fit, {name}: {error}") from None

    def networks(self):
        """The models by name, as a run writes them for others; target networks are copies and stay in checkpoints."""
        made = {name: v() if callable(v) and not hasattr(v, "variables") else v for name, v in vars(self).items()}
        return {name: v for name, v in made.items() if isinstance(v, keras.Model) and not name.startswith("target")}


def save(folder, step, identity, tensors, state, arrays=None, networks=None):
    """Write networks and checkpoint `step`, each whole or not at all, and drop all checkpoints but the last two.

    Args:
        folder: the run's `checkpoint/`.
        step: orders the checkpoints.
        identity: dict that must be the same when it is read (recipe, environment).
        tensors: dict name → model, optimizer or other trackable.
        state: dict that JSON can hold.
        arrays: dict name → numpy array.
        networks: dict path → Keras model, written before the checkpoint, so that no network is older than it.

    A step that was saved before is not saved again.

    Raises:
        FloatingPointError: something is not finite; earlier networks and checkpoints stay.
        OSError: the disk is full or read-only; earlier checkpoints stay.
    """
    folder = Path(folder)
    final = folder / name_of(step)
    if final.exists():
        return
    check_finite(step, tensors, arrays or {})
    write_networks(networks or {})
    for torn in _folders(folder, r"\.[0-9]{12,}"):  # left by a process that was killed while saving
        shutil.rmtree(torn, ignore_errors=True)
    new = folder / f".{name_of(step)}"
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
    for path in new.iterdir():
        sync(path)
    os.replace(new, final)
    for stale in checkpoints(folder)[:-KEEP]:
        shutil.rmtree(stale, ignore_errors=True)


def write_networks(networks):
    """Write Keras models, each whole or not at all; `networks` is a dict path → model."""
    for path, network in networks.items():
        write_network(path, network)


def check_finite(step, tensors, arrays):
    """FloatingPointError, which names the place, if a variable or an array holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not all(np.isfinite(v.numpy()).all() for v in tensor.variables):
            raise FloatingPointError(f"the {name} is not finite at step {step}; the last good checkpoint is kept")
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FloatingPointError(f"{name} is not finite at step {step}; the last good checkpoint is kept")


def restore(folder, identity, tensors):
    """Read the newest checkpoint of `folder` into `tensors`.

    Args:
        folder: the run's `checkpoint/`.
        identity: as when it was saved.
        tensors: dict name → model, optimizer or other trackable, built already; changed only if every check passed.

    Returns:
        (state, arrays) as they were saved.

    Raises:
        UsageError: no checkpoint, or one that is damaged, foreign, or of a network with other shapes.
    """
    manifest = read_manifest(folder)
    path = checkpoints(folder)[-1]
    if manifest.get("identity") != identity:
        raise UsageError(f"{path} is foreign: saved by {manifest.get('identity')}, wanted {identity}")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file() or [file.stat().st_size, checksum(file)] != expected:
            raise _damaged(folder, f"{name} is not as it was written")
    state = read_json(path / "state.json")
    if state.get("step", int(path.name)) != int(path.name):
        raise _damaged(folder, f"it was saved at step {state['step']}, so its name is wrong")
    arrays = {file[:-4]: np.load(path / file, allow_pickle=False) for file in manifest["files"] if file[-4:] == ".npy"}
    with without_wildcards(path) as plain:
        _read_tensors(path, str(plain / "tensors"), tensors)
    return state, arrays


def _read_tensors(path, prefix, tensors):
    """Read the TensorFlow variables that begin with `prefix`; UsageError, which names `path`, if they do not fit."""
    try:
        shapes = sorted(map(tuple, tf.train.load_checkpoint(prefix).get_variable_to_shape_map().values()))
        wanted = sorted(tuple(v.shape) for t in tensors.values() for v in _weights(t))
        if [s for s in shapes if len(s)] != [s for s in wanted if len(s)]:
            raise UsageError(f"{path} holds a network of other shapes")
        tf.train.Checkpoint(**tensors).read(prefix).assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError):  # their messages are pages long
        raise UsageError(f"{path} holds other networks than this run carries") from None


def read_manifest(folder):
    """The manifest of the newest checkpoint of `folder`; UsageError if there is none or it is of another version."""
    if not checkpoints(folder):
        raise UsageError(f"no checkpoint in {folder}: the run was stopped before its first one; start it anew")
    path = checkpoints(folder)[-1]
    try:
        manifest = read_json(path / "manifest.json")
    except UsageError as error:
        raise _damaged(folder, error) from None
    files = manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(files, dict):
        raise UsageError(f"{path} is not a checkpoint that this version reads")
    if any(Path(name).name != name for name in files) or not {"state.json", "tensors.index"} <= files.keys():
        raise _damaged(folder, "manifest.json does not name the files of a checkpoint")
    return manifest


def _damaged(folder, why):
    """The UsageError that names the newest checkpoint of `folder` and the one to go on from instead."""
    *older, path = checkpoints(folder)
    hint = f"; remove it to go on from {older[-1].name}" if older else ""
    return UsageError(f"{path} is damaged: {why}{hint}")


def _weights(tensor):
    """The variables that TensorFlow saves: of a model, all but the generators of its dropout."""
    return getattr(tensor, "weights", None) or tensor.variables


def name_of(step):
    """The name of the folder of a checkpoint."""
    return f"{step:012d}"


def checkpoints(folder):
    """Paths of the whole checkpoints in `folder`, oldest first."""
    return sorted(_folders(folder, r"[0-9]{12,}"), key=lambda path: int(path.name))


def _folders(folder, name):
    """The folders in `folder` whose whole name matches the regular expression `name`: a copy has another name."""
    found = Path(folder).iterdir() if Path(folder).is_dir() else ()
    return [path for path in found if re.fullmatch(name, path.name) and path.is_dir()]


def checksum(path):
    """CRC-32 of a file: a guard against accidents, not against forgery."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return crc
