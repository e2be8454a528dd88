"""Which versions of Keras load the networks that are saved here, and what they answer: a fresh environment for each.

The newest release of each minor version, under JAX. Installing takes about 700 MB for each, for as long as it is tried.

    python benchmarks/keras_versions.py [.keras files ...]
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import fire
import numpy as np

from common.lazy import keras

VERSIONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
MODELS = Path(__file__).parent.parent / "models"
LOAD = """
import sys
import keras, numpy as np
print("Keras", keras.__version__)
for path, obs, out in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    try:
        outputs = keras.models.load_model(path)(np.load(obs))
    except Exception as error:
        print(" ", path, "is refused:", type(error).__name__)
        continue
    wanted, found = np.load(out), keras.ops.convert_to_numpy(outputs[0] if isinstance(outputs, list) else outputs)
    print(" ", path, "loads; its outputs differ by at most", abs(found - wanted).max())
"""


def answers(path, folder):
    """Write random observations and what the installed Keras answers to them; returns the words for `LOAD`."""
    model = keras.models.load_model(path)
    kind, shape = np.dtype(model.input.dtype), (16, *model.input_shape[1:])
    rng = np.random.default_rng(0)
    obs = rng.normal(size=shape).astype(kind) if kind.kind == "f" else rng.integers(0, 4, size=shape, dtype=kind)
    outputs = model(obs)
    obs_path, out_path = (Path(folder) / f"{len(list(Path(folder).iterdir()))}-{name}.npy" for name in ("obs", "out"))
    np.save(obs_path, obs)
    np.save(out_path, outputs[0] if isinstance(outputs, list) else outputs)
    return [str(path), str(obs_path), str(out_path)]


def main(*paths):
    with tempfile.TemporaryDirectory() as folder:
        words = [word for path in paths or sorted(MODELS.glob("*.keras")) for word in answers(path, folder)]
        for version in VERSIONS:
            with tempfile.TemporaryDirectory() as environment:
                venv.create(environment, with_pip=True)
                python = f"{environment}/bin/python"
                install = [python, "-m", "pip", "install", "--quiet", f"keras=={version}.*", "jax"]
                subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
                subprocess.run([python, "-c", LOAD, *words], check=True, env={"KERAS_BACKEND": "jax"})


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    fire.Fire(main)
