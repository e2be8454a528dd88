"""Keras and TensorFlow as the recipes need them, whatever the settings of this machine say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import lazy
from common.cli import UsageError
from common.lazy import keras

MODEL = Path(__file__).parent.parent.parent / "models" / "actor_critic_cartpole.keras"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("[]", "has no attribute 'get'"),
        ('{"floatx": "float8"}', "Invalid `floatx`"),
        ('{"image_data_format": "first"}', "Invalid `image_data_format`"),
        ('{"epsilon": 1}', "Invalid `epsilon`"),
        (None, "Is a directory"),
    ],
)
@pytest.mark.parametrize("command", [("play", f"--model={MODEL}"), ("hardcoded_cartpole", "--logdir=run")])
def test_a_keras_json_that_cannot_be_used_is_named(settings, said, command, tmp_path_factory, tmp_path, run_recipe):
    path = tmp_path_factory.mktemp("home") / "keras.json"
    path.write_text(settings) if settings else path.mkdir()
    done = run_recipe(*command, KERAS_HOME=str(path.parent))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert said in done.stderr and "keras.json" in done.stderr and "cannot be loaded" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("floatx", "float16"), ("image_data_format", "channels_first")])
def test_a_keras_with_other_settings_is_refused(name, value):
    """As in a notebook that imported Keras before, and changed it."""
    set_to = getattr(keras.config, f"set_{name}")
    set_to(value)
    lazy.load.cache_clear()
    try:
        with pytest.raises(UsageError, match=f"imported before with {name} {value}"):
            keras.Model  # noqa: B018
    finally:
        set_to(lazy.SETTINGS[name])
    assert keras.Model is sys.modules["keras"].Model and getattr(keras.config, name)() == lazy.SETTINGS[name]


@pytest.mark.parametrize(
    ("backend", "left"),
    [
        ("nonsense", ""),
        ("module://matplotlib_inline.backend_inline", ""),  # a notebook's, in a program where the package is not
        (" ", ""),
        ("svg", "svg"),
        ("module://of_a_notebook", "module://of_a_notebook"),
        ("", ""),
    ],
)
def test_a_matplotlib_backend_is_kept_if_it_can_be_used(backend, left, tmp_path):
    code = f"""
import os, sys
from importlib import metadata
sys.modules["matplotlib_inline"] = None  # importing it fails,
metadata.entry_points = lambda **group: []  # and it is not known to be there
from common.plots import new_figure
figure = new_figure(1, 1)
import matplotlib
assert os.environ.get("MPLBACKEND", "") == {left!r}
assert matplotlib.rcParams._get_backend_or_none() == ({left!r} or None)
"""
    environment = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
