"""TensorFlow and Keras, loaded at their first use.

Importing TensorFlow takes seconds. A recipe that only shows its `--help`, or refuses a flag, never uses it and so never
pays. `from common.lazy import keras, tf` reads like the plain imports and behaves like them once an attribute is used.
"""

import contextlib
import functools
import importlib
import os
import sys
import types

from common.cli import UsageError
from common.program import importing

# What TensorFlow notes while it looks for GPUs is for its developers; TF_CPP_MIN_LOG_LEVEL=0 brings it back.
_QUIET = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever it was: the recipes are written in TensorFlow

SETTINGS = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last", "epsilon": 1e-7}


class _Lazy(types.ModuleType):
    def __getattr__(self, name):
        load()
        return getattr(sys.modules[self.__name__], name)


@functools.cache
def load():
    """Import Keras and TensorFlow, with Keras's own defaults instead of what `~/.keras/keras.json` says.

    Raises:
        UsageError: Keras cannot be imported with that file; or it was imported before, with other settings.
    """
    is_first = "keras" not in sys.modules
    with native_stderr_silenced() if _QUIET else contextlib.nullcontext(2) as stderr, importing(stderr):
        import_matplotlib()
        try:
            keras = importlib.import_module("keras")
        except (AttributeError, OSError, TypeError, ValueError) as error:
            where = "its keras.json (in KERAS_HOME or ~/.keras) or the environment"
            raise UsageError(f"Keras cannot be imported with the settings in {where}: {error}") from None
        importlib.import_module("tensorflow")
    for name, wanted in SETTINGS.items():
        if is_first and name != "backend":
            getattr(keras.config, f"set_{name}")(wanted)
        found = getattr(keras.config, name)()
        if found != wanted:
            raise UsageError(f"Keras was imported before with {name} {found}; the recipes need {wanted}")


def import_matplotlib():
    """Import matplotlib, which Keras does, too, where `MPLBACKEND` names a backend that it does not know.

    A notebook hands its own backend on to the programs that it starts, which may lack the package.
    """
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", "")
    import matplotlib

    if backend:
        with contextlib.suppress(ValueError):  # as if it were unset: pictures are drawn without it
            matplotlib.rcParams["backend"] = backend
            os.environ["MPLBACKEND"] = backend


@contextlib.contextmanager
def native_stderr_silenced():
    """Within it file descriptor 2 leads nowhere: TensorFlow writes there before its log level counts.

    Yields:
        A file descriptor that leads where 2 led.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield kept
    finally:
        os.dup2(kept, 2)
        os.close(kept)


tf = _Lazy("tensorflow")
keras = _Lazy("keras")
