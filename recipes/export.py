"""Export a trained agent for programs without Keras, and check that the export chooses the same actions.

    python recipes/export.py --run=runs/dqn_atari/<date-time> --format=litert
    python recipes/export.py --model=models/dqn_atari_pong.keras --format=onnx

The exported function takes a batch of observations and returns the greedy actions: the numbers of the highest outputs,
or, where actions are vectors, the output itself, clipped to the environment's bounds. That of a recurrent policy takes
the state besides, zeros where a game begins, and returns the next one, too. Keras's own exporters write it, and the
format's own runtime loads it again. It is kept only if it chooses the actions of the Keras model on observations of
real games. LiteRT needs `pip install -e .[litert]`, ONNX `pip install -e .[onnx]`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Literal

import fire
import gymnasium as gym
import numpy as np

from common.cli import Size, UsageError, strict, validated
from common.files import parents_of, without_wildcards
from common.lazy import keras, native_stderr_silenced, tf
from common.saved import brief, choose_world, load_policy, settings_of
from envs.remake import remake

SUFFIXES = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}
EXPORTERS = {"saved_model": "tf_saved_model", "litert": "litert", "onnx": "onnx"}
NEEDED = {"saved_model": (), "litert": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnxruntime")}  # modules to import


def with_choice(policy, action_space):
    """A model of obs [B, ...] → outputs [B, A] becomes one of obs [B, ...] → actions, as the environment takes them.

    Discrete ones are [B] int32, vectors [B, A] float32. A recurrent model, [obs, state] → [outputs, next state],
    becomes one of [obs, state] → [actions, next state].
    """
    outputs, *next_state = policy.outputs
    if isinstance(action_space, gym.spaces.Discrete):
        # top_k instead of argmax, which in Keras 3.15 tells -0 from 0 by operations that ONNX does not know.
        action = keras.ops.top_k(outputs, 1)[1][:, 0] + int(action_space.start)
    else:
        low, high = action_space.low.astype(np.float32), action_space.high.astype(np.float32)
        action = keras.ops.clip(keras.ops.cast(outputs, "float32"), low, high)
    return keras.Model(policy.input, [action, *next_state] if next_state else action)


def run_saved_model(path):
    """The exported function, by TensorFlow: obs [B, ...], state [B, S] if there is one → list of what it gives."""
    with without_wildcards(path) as plain:
        loaded = tf.saved_model.load(str(plain))

    def act(*inputs):
        outputs = loaded.serve([*inputs] if len(inputs) > 1 else inputs[0])
        return [part.numpy() for part in tf.nest.flatten(outputs)]

    return act


def run_litert(path):
    """The exported function, by the LiteRT interpreter, one observation at a time as on a small device.

    See `run_saved_model`.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    entries, results = (  # the names tell the order: obs and state, the first and the second output
        sorted(details, key=lambda entry: entry["name"])
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    for entry in entries:
        interpreter.resize_tensor_input(entry["index"], [1, *entry["shape"][1:]])
    interpreter.allocate_tensors()

    def act(*inputs):
        rows = []
        for row in zip(*inputs, strict=True):
            for entry, one in zip(entries, row, strict=True):
                interpreter.set_tensor(entry["index"], one[None].astype(entry["dtype"]))
            interpreter.invoke()
            rows.append([interpreter.get_tensor(result["index"])[0] for result in results])
        return [np.array(column) for column in zip(*rows, strict=True)]

    return act


def run_onnx(path):
    """The exported function, by ONNX Runtime; see `run_saved_model`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


RUNTIMES = {"saved_model": run_saved_model, "litert": run_litert, "onnx": run_onnx}


def observations(envs, steps, seed):
    """The observations of `envs` during `steps` random steps, [steps * N, ...]."""
    envs.action_space.seed(seed)
    seen = [envs.reset(seed=seed)[0]]
    for _ in range(steps - 1):
        seen.append(envs.step(envs.action_space.sample())[0])
    return np.concatenate(seen)


def with_states(policy, obs, steps):
    """What the policy takes: the observations, [steps * N, ...], and if it is recurrent the states that come with them.

    Where a game begins the state is not 0 again, because here any state serves.
    """
    states = [np.zeros((len(obs) // steps, *state.shape[1:]), state.dtype) for state in policy.inputs[1:]]
    for one in np.split(obs, steps)[:-1] if states else ():
        inputs = [keras.ops.convert_to_tensor(one), keras.ops.convert_to_tensor(states[-1])]
        states.append(keras.ops.convert_to_numpy(policy(inputs)[1]))
    return [obs, np.concatenate(states)] if states else [obs]


def latency(act, inputs, calls=50):
    """Median time of acting on a single observation, in milliseconds."""
    times = []
    for i in range(calls):
        begin = time.perf_counter()
        act(*(part[i % len(part)][None] for part in inputs))
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def size(path):
    """Bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


@contextlib.contextmanager
def quiet():
    """Silence what the converters print for their developers; exceptions still pass."""
    with open(os.devnull, "w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), native_stderr_silenced():
            yield


@validated
def export(
    run: str = "",
    model: str = "",
    env_id: str = "",
    env_kwargs: dict = None,
    format: Literal["saved_model", "litert", "onnx"] = "saved_model",
    out: str = "",
    steps: Size = 64,
) -> Path:
    """Write a trained policy as `observation in, action out`, verify it, and print its size and latency.

    Args:
        run: folder of a run, whose model.keras is exported.
        model: a .keras file instead of a run, with its card (.json) beside it.
        env_id: environment for a model without a card, or for a run whose environment is in a module of yours.
        env_kwargs: arguments of the environment, as JSON; by default those of the run or the card, if it is the same.
        format: saved_model, litert or onnx.
        out: path of the export; if empty, policy, policy.tflite or policy.onnx in the run's or the working folder.
        steps: random steps in 8 environments, where the export must choose the actions of the Keras model.

    Returns:
        Path of the export.
    """
    if bool(run) == bool(model):
        raise UsageError("one of --run=DIR and --model=FILE is wanted")
    for package in NEEDED[format]:
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"--format={format} needs the package {package}: pip install -e .[{format}]")
    path = Path(run) / "model.keras" if run else Path(model)
    settings = Path(run) / "config.json" if run else settings_of(path)
    final = Path(out or Path(run) / f"policy{SUFFIXES[format]}")
    if final.exists():
        raise UsageError(f"{final} exists already: remove it, or choose another --out")
    env_id, env_kwargs = choose_world(settings, env_id, env_kwargs)
    envs = remake(env_id, env_kwargs, 8)
    policy = load_policy(path, envs.single_observation_space, envs.single_action_space)
    action_space = envs.unwrapped.single_action_space  # as the environment counts its actions
    policy = with_choice(policy, action_space)
    obs = observations(envs, steps, seed=0).astype(policy.inputs[0].dtype)
    envs.close()
    margin = 0 if isinstance(action_space, gym.spaces.Discrete) else 1e-4 * (action_space.high - action_space.low)
    inputs = with_states(policy, obs, steps)
    wanted = policy(inputs if len(inputs) > 1 else obs)
    action, *next_state = map(keras.ops.convert_to_numpy, wanted if len(inputs) > 1 else [wanted])

    with parents_of(final), tempfile.TemporaryDirectory(dir=final.parent, prefix=".export-") as folder:
        written = Path(folder) / f"policy{SUFFIXES[format]}"
        try:
            with quiet():
                policy.export(str(written), format=EXPORTERS[format], verbose=False)
                act = RUNTIMES[format](written)
            exported = act(*inputs)
            same = (np.abs(exported[0] - action) <= margin).reshape(len(obs), -1).all(axis=1)
            for one, other in zip(exported[1:], next_state, strict=True):
                same &= np.isclose(one, other, rtol=1e-3, atol=1e-4).all(axis=1)
        except OSError:
            raise
        except Exception as error:  # of many kinds: each format lacks some of Keras's operations
            raise UsageError(f"{path} cannot be exported as {format}: {brief(error)}") from None
        if not same.all():
            raise UsageError(f"refused: the export differs on {(~same).sum()} of {len(obs)} observations; not kept")
        milliseconds = latency(act, inputs)
        shutil.move(written, final)
    print(f"{final}: {size(final) / 1e3:.1f} kB, {milliseconds:.3f} ms for one observation")
    print(f"the same actions as {path} on {len(obs)} observations of {env_id}")
    return final


if __name__ == "__main__":
    fire.Fire(strict(export))
