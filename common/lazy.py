"""TensorFlow and Keras, loaded at their first use.

Importing TensorFlow takes seconds. A recipe that only shows its `--help`, or refuses a flag, never uses it and so never
pays. `from common.lazy import keras, tf` reads like the plain imports and behaves like them once an attribute is used.
"""

import contextlib
import importlib
import os
import sys
import types

# What TensorFlow notes while it looks for GPUs is for its developers; TF_CPP_MIN_LOG_LEVEL=0 brings it back.
_QUIET = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


class _Lazy(types.ModuleType):
    def __getattr__(self, name):
        if self.__name__ not in sys.modules:
            with native_stderr_silenced() if _QUIET else contextlib.nullcontext():
                importlib.import_module(self.__name__)
        return getattr(sys.modules[self.__name__], name)


@contextlib.contextmanager
def native_stderr_silenced():
    """Within it file descriptor 2 leads nowhere: TensorFlow writes there before its log level counts."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


tf = _Lazy("tensorflow")
keras = _Lazy("keras")
