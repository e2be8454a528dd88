"""What a result depends on besides its arguments: versions, machine, commit, date."""

import contextlib
import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from common.cli import UsageError

CODE = ("recipes", "common", "envs")  # what a run executes
PACKAGES = ("tensorflow", "keras", "gymnasium", "ale-py", "numpy")


def surroundings():
    """Versions, machine, commit and date, as JSON can hold them."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "git_commit": commit(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def version(name):
    """The version of a package, by its metadata or by itself: TensorFlow may be installed as `tensorflow-cpu`."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return getattr(sys.modules.get(name.replace("-", "_")), "__version__", "unknown")


def commit():
    """The commit of this repository, with -dirty where its code has changes that no commit holds; empty without git."""
    git = ["git", "-C", str(Path(__file__).parent.parent)]
    try:
        head, changes = (
            subprocess.run([*git, *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--", *CODE])
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{head}-dirty" if changes else head


def processor():
    """The processor's name as the system tells it."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def has_bfloat16():
    """Whether something here multiplies bfloat16 by itself: AMX or AVX-512 of x86, BF16 of ARM, or a GPU."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        if {"amx_bf16", "avx512_bf16", "bf16"} & set(file.read().split()):
            return True
    from common.lazy import tf  # only where the processor cannot, because importing it takes seconds

    return bool(tf.config.list_physical_devices("GPU"))


def dtype_of(precision):
    """Keras's name of the precision of a layer's multiplications; its weights are float32 in both.

    Args:
        precision: "float32", or "bfloat16" where this machine has instructions for it.

    Returns:
        "float32" or "mixed_bfloat16".

    Raises:
        UsageError: it has none.
    """
    if precision == "bfloat16" and not has_bfloat16():
        raise UsageError(
            "--precision=bfloat16: this machine is not known to have instructions for it; leave the flag out"
        )
    return {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
