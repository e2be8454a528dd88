"""Read what a run saved, with suspicion: no loaded file can run code, and one that does not fit is refused."""

import json
from pathlib import Path

from common.checkpoint import checkpoints
from common.cli import UsageError
from common.files import read_csv
from common.lazy import keras


def read_settings(path):
    """The environment that a run or a model card names.

    Args:
        path: `config.json` of a run, or the card (`.json`) of a model.

    Returns:
        (env_id, env_kwargs)

    Raises:
        UsageError: the file is missing or does not name the environment.
    """
    try:
        settings = json.loads(Path(path).read_text())
        env_id, env_kwargs = settings.get("arguments", settings)["env_id"], settings["env_kwargs"]
        if not isinstance(env_id, str) or not isinstance(env_kwargs, dict):
            raise TypeError("env_id or env_kwargs")
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: it is not known what the model was trained on") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} cannot be read: {error!r}") from None
    return env_id, env_kwargs


def unfinished(folder):
    """A line of text if the model of a run is older than its last game; empty if it is not, or if that is not known.

    Args:
        folder: of the run.
    """
    saved, path = checkpoints(folder / "checkpoint"), folder / "episodes.csv"
    if not saved or not path.is_file():
        return ""
    step, games = int(saved[-1].name), read_csv(path)["step"]
    if not len(games) or games[-1] <= step:
        return ""
    what = f"the model was saved at step {step:,}" if step else "the model is untrained, it was saved at step 0"
    return f"{folder}: {what}; the run was stopped at step {int(games[-1]):,} (--resume continues it)"


def settings_of(path):
    """Where the environment of a model is named: its card beside it, or the settings of the run that it lies in."""
    card = path.with_suffix(".json")
    return card if card.is_file() or not (path.parent / "config.json").is_file() else path.parent / "config.json"


def load_policy(path, obs_space, action_space):
    """A Keras model that acts: obs [N, ...] → one number per action, [N, A]; the highest is the greedy action.

    Args:
        path: of the `.keras` file.
        obs_space, action_space: of one environment, which the model must fit.

    Returns:
        keras.Model with one output, [N, A], which is the first if the file's model has several.

    Raises:
        UsageError: the file is missing, is damaged, needs code from elsewhere, or holds a model whose shapes do not fit
            the environment.
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no model {path}")
    load_model = keras.models.load_model  # outside of `try`: if Keras cannot be imported, the file is not to blame
    try:
        model = load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of many kinds: zip, JSON, HDF5, unknown layers, unsafe ones
        raise UsageError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from None
    if isinstance(model.output, list | tuple):
        model = keras.Model(model.input, model.output[0])
    shapes = (model.input_shape[1:], model.output_shape[1:])
    wanted = (obs_space.shape, (int(action_space.n),))
    if shapes != wanted:
        raise UsageError(f"{path} maps {shapes[0]} to {shapes[1]}; the environment needs {wanted[0]} to {wanted[1]}")
    return model
