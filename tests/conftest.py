"""What several tests need: the repository's root, and a way to run a recipe as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def no_tensorflow(tmp_path_factory):
    """A PYTHONPATH under which importing TensorFlow or Keras fails: what works with it did not wait for them."""
    folder = tmp_path_factory.mktemp("path")
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text("raise ImportError('this was to work without it')")
    return str(folder)


@pytest.fixture
def run_recipe(tmp_path):
    """Run `python recipes/<name>.py *flags` in an empty folder of its own; returns the CompletedProcess."""

    def run(name, *flags, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / "recipes" / f"{name}.py"), *flags],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture
def points():
    """Read a run's TensorBoard points: curve → list of (step, value); a text is bytes."""

    def read(folder):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        from common.lazy import tf

        events = EventAccumulator(str(folder))
        events.Reload()
        return {
            tag: [(event.step, tf.make_ndarray(event.tensor_proto).tolist()) for event in events.Tensors(tag)]
            for tag in events.Tags()["tensors"]
        }

    return read
