"""Read what a run saved, with suspicion: no loaded file can run code, and one that does not fit is refused."""

import json
import re
import warnings
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np

from common.checkpoint import checkpoints
from common.cli import UsageError, refuse_to_import
from common.files import read_episodes, read_json
from common.lazy import keras

CODE = {"Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer"}  # Keras's layers that run a file's code


def read_settings(path):
    """The environment that a run or a model card names.

    Args:
        path: `config.json` of a run, or the card (`.json`) of a model.

    Returns:
        (env_id, env_kwargs)

    Raises:
        UsageError: the file is missing or does not name the environment.
    """
    if not Path(path).is_file():
        raise UsageError(f"{path} is missing: it is not known what the model was trained on")
    settings = read_json(path)
    arguments = settings.get("arguments", settings)
    env_id, env_kwargs = arguments.get("env_id") if isinstance(arguments, dict) else None, settings.get("env_kwargs")
    if not isinstance(env_id, str) or not isinstance(env_kwargs, dict):
        raise UsageError(f"{path} cannot be read: env_id or env_kwargs is missing or wrong")
    return env_id, env_kwargs


def choose_world(path, env_id, env_kwargs):
    """The environment to make: what the user typed, and otherwise what a run or a model card names.

    Args:
        path: `config.json` of a run, or the card (`.json`) of a model.
        env_id: as typed, may be empty.
        env_kwargs: as typed, may be empty; the file's are taken with the file's environment alone.

    Returns:
        (env_id, env_kwargs)

    Raises:
        UsageError: nothing was typed, and the file does not tell, or tells an environment in a module: only a module
            that the user typed is imported.
    """
    if not env_id:
        saved_id, saved_kwargs = read_settings(path)
        refuse_to_import(saved_id)
        return saved_id, env_kwargs or saved_kwargs
    if not env_kwargs and Path(path).is_file():
        saved_id, saved_kwargs = read_settings(path)
        env_kwargs = saved_kwargs if saved_id == env_id else {}
    return env_id, env_kwargs


def unfinished(folder):
    """A line of text if the model of a run is older than its last game; empty if it is not, or if that is not known.

    Args:
        folder: of the run.
    """
    saved, path = checkpoints(folder / "checkpoint"), folder / "episodes.csv"
    if not saved or not path.is_file():
        return ""
    step, games = int(saved[-1].name), read_episodes(folder)["step"]
    if not len(games) or games[-1] <= step:
        return ""
    what = f"the model was saved at step {step:,}" if step else "the model is untrained, it was saved at step 0"
    return f"{folder}: {what}; the run was stopped at step {int(games[-1]):,} (--resume continues it)"


def settings_of(path):
    """Where the environment of a model is named: its card beside it, or the settings of the run that it lies in."""
    if not path.name:
        raise UsageError(f"{path} is a folder and no model")
    card = path.with_suffix(".json")
    return card if card.is_file() or not (path.parent / "config.json").is_file() else path.parent / "config.json"


def load_policy(path, obs_space, action_space):
    """A Keras model that acts: obs [N, ...] → one number per action, [N, A]; the highest is the greedy action.

    Where actions are vectors (a Box), it gives the greedy action itself, [N, A].

    A recurrent one takes the state besides, [N, S], and gives the next one: [obs, state] → [numbers, next state]. The
    state is zeros where a game begins.

    Args:
        path: of the `.keras` file.
        obs_space, action_space: of one environment, which the model must fit.

    Returns:
        keras.Model with one output, [N, A], of several that the model has the first; or the recurrent one.

    Raises:
        UsageError: the file is missing, is damaged, needs code from elsewhere, or holds no model; the model's shapes or
            types do not fit the environment; it fails or gives NaN when it is called.
    """
    path = Path(path)
    model = load_model(path)
    inputs = getattr(model, "inputs", None) or []
    states = states_of(model)
    if len(inputs) != 1 + len(states):
        raise UsageError(
            f"{path} takes {len(inputs)} inputs; the environment gives one observation, and a second input can only be "
            "a state that is the second output, too"
        )
    is_discrete = isinstance(action_space, gym.spaces.Discrete)
    takes = tuple(inputs[0].shape[1:])
    wanted = obs_space.shape, (int(action_space.n),) if is_discrete else action_space.shape
    fits = match(takes, wanted[0])
    obs = keras.Input(wanted[0] if fits else takes, dtype=inputs[0].dtype, name="obs")
    states = [keras.Input(state.shape[1:], name="state") for state in states]
    named = getattr(model, "input", None)  # which a Sequential model lacks
    try:
        outputs = model([obs, *states] if states else {name: obs for name in named} if isinstance(named, dict) else obs)
    except Exception as error:
        raise UsageError(f"{path} fails when it is called: {brief(error)}") from None
    output = first(path, outputs)
    gives = tuple(output.shape[1:])
    if not fits or not match(gives, wanted[1]):
        raise UsageError(f"{path} maps {takes} to {gives}; the environment needs {wanted[0]} to {wanted[1]}")
    if not holds(obs.dtype, obs_space.dtype):
        raise UsageError(f"{path} takes {obs.dtype}, which cannot hold the environment's {obs_space.dtype}")
    policy = keras.Model([obs, *states], [output, outputs[1]]) if states else keras.Model(obs, output)
    try_out(path, policy, obs_space)
    return policy


def states_of(model):
    """Of a recurrent model, [obs, state] → [numbers, next state], the input of the state in a list; otherwise []."""
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if not all(isinstance(part, list | tuple) and len(part) == 2 for part in (inputs, outputs)):
        return []
    if any(isinstance(part, list | tuple | dict) for part in (*inputs, *outputs)):
        return []
    (_, state), (_, next_state) = inputs, outputs
    is_state = len(state.shape) == 2 and state.shape[1] and state.shape == next_state.shape
    return [state] if is_state and state.dtype == next_state.dtype == "float32" else []


def load_model(path):
    """The Keras model in a `.keras` file, by Keras's own layers alone; UsageError if there is none."""
    if not path.exists():
        raise UsageError(f"there is no model {path}")
    read = keras.models.load_model  # outside of `try`: if Keras cannot be imported, the file is not to blame
    try:
        with zipfile.ZipFile(path) as file:
            config = json.loads(file.read("config.json"))
        foreign = next(foreign_parts(config), None)
    except Exception:  # a file that is no zip, a part of one, or another one
        config = None
    if path.suffix != ".keras" or not isinstance(config, dict):
        raise UsageError(f"{path} cannot be loaded: it is not a whole .keras file")
    if foreign:
        raise UsageError(f"{path} cannot be loaded: {foreign}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the answer is one line
            model = read(path, compile=False, safe_mode=True)
    except Exception as error:  # of many kinds: zip, HDF5, wrong settings of a layer, weights that do not fit
        raise UsageError(f"{path} cannot be loaded: {brief(error)}") from None
    if not isinstance(model, keras.Model):
        raise UsageError(f"{path} holds a {type(model).__name__}, which is not a model")
    if not model.built:
        raise UsageError(f"{path} holds a model without weights: it was saved before it was built")
    return model


def foreign_parts(config, layer="the model"):
    """What in the configuration of a model is code or comes from outside Keras, one sentence for each part.

    Args:
        config: what Keras's `config.json` holds, or a part of it.
        layer: the layer in which that part lies, in words.
    """
    parts = config if isinstance(config, list) else ()
    if isinstance(config, dict):
        parts = [part for name, part in config.items() if name != "compile_config"]  # which is not loaded
        kind, inner, module = config.get("class_name"), config.get("config"), config.get("module", "keras")
        is_layer = kind is not None and isinstance(inner, dict) and "name" in inner
        layer = f"the layer {inner['name']} ({kind})" if is_layer else layer
        if kind in CODE or kind == "__lambda__":
            yield f"{layer} runs Python code, which no file may bring along"
        elif kind is not None and str(module).split(".")[0] != "keras":
            what = "" if is_layer else f"uses {inner if kind == 'function' else kind}, which "
            yield f"{layer} {what}is not part of Keras"
    for part in parts:
        yield from foreign_parts(part, layer)


def first(path, outputs):
    """The one tensor among the outputs of a model, or the first of a list; UsageError if several have only names."""
    while isinstance(outputs, list | tuple | dict):
        if isinstance(outputs, dict) and len(outputs) > 1:
            raise UsageError(f"{path} does not tell which of its outputs {', '.join(outputs)} decides on the action")
        outputs = next(iter(outputs.values() if isinstance(outputs, dict) else outputs))
    return outputs


def match(shape, wanted):
    """Whether a shape, in which None stands for any size, is the wanted one."""
    return (
        wanted is not None
        and len(shape) == len(wanted)
        and all(a in (None, b) for a, b in zip(shape, wanted, strict=True))
    )


def holds(kind, wanted):
    """Whether an input of this dtype takes the observations of another without loss: no fraction, no large number."""
    whole = keras.backend.is_int_dtype(kind)
    return keras.backend.is_float_dtype(kind) or (whole and np.can_cast(wanted, kind, "same_kind"))


def try_out(path, policy, obs_space):
    """Call the policy on a few observations; UsageError if it fails or gives no actions."""
    if not all(np.isfinite(weight).all() for weight in policy.get_weights()):
        raise UsageError(f"{path} has weights that are NaN or infinite")
    rng = np.random.default_rng(0)
    for count in (1, 3):
        obs = np.zeros((count, *obs_space.shape))
        if isinstance(obs_space, gym.spaces.Box):
            obs = np.clip(rng.normal(size=obs.shape), obs_space.low, obs_space.high)
        inputs = [obs.astype(obs_space.dtype), *(np.zeros((count, *s.shape[1:]), s.dtype) for s in policy.inputs[1:])]
        try:
            outputs = policy(inputs if len(inputs) > 1 else inputs[0])
            outputs = keras.ops.convert_to_numpy(outputs[0] if len(inputs) > 1 else outputs)  # [count, A]
            is_nan = bool(np.isnan(outputs).any())
        except Exception as error:
            raise UsageError(f"{path} fails when it is called: {brief(error)}") from None
        if outputs.shape != (count, *policy.outputs[0].shape[1:]):
            raise UsageError(f"{path} gives an output of shape {outputs.shape} for {count} observations")
        if is_nan:
            raise UsageError(f"{path} gives NaN")


def brief(error):
    """What an exception says, in one line that is not long.

    Where one led to another, it is what the first one said, after the layer that Keras named on the way.
    """
    layer = ""
    while error.__context__ is not None:
        named = re.search(r"deserializing class '(\w+)' using config={'name': '([^']+)'", str(error))
        layer = f"the layer {named[2]} ({named[1]}): " if named else layer
        error = error.__context__
    text = " ".join(re.sub(r"{{.*?}}", "", str(error)).split()) or type(error).__name__
    return layer + (text if len(text) <= 300 else f"{text[:300]} …")
