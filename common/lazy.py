"""TensorFlow and Keras, loaded at their first use.

Importing TensorFlow takes seconds. A recipe that only shows its `--help`, or refuses a flag, never uses it and so
never pays. `from common.lazy import keras, tf` reads like the plain imports and behaves like them from the first
attribute on.
"""

import importlib
import os
import types

# The notes TensorFlow prints while it looks for GPUs are for its developers; "0" in the environment brings them back.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


class _Lazy(types.ModuleType):
    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


tf = _Lazy("tensorflow")
keras = _Lazy("keras")
