"""The command line of a recipe: Fire reads it, `strict` makes it answer for every word.

Fire alone reports an unknown flag after the function has run, takes `--x=false` for a true string and `1e5` for a
float. `strict` checks the names before anything runs; `validated` turns every value into the type that `train`
declares, or refuses it, whoever calls `train`:

    @validated
    def train(episodes: Count = 200, gamma: Probability = 0.99, resume: bool = False) -> Path: ...

    if __name__ == "__main__":
        fire.Fire(strict(train))
"""

import difflib
import functools
import inspect
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args, get_origin, get_type_hints

import gymnasium as gym

from common.program import check_heard, leave, running


class UsageError(Exception):
    """What was asked for cannot be done as asked: one line on stderr, exit code 2."""


class Range(NamedTuple):
    """The interval a number must lie in; `open_low` and `open_high` leave its ends out."""

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value):
        above = self.low < value if self.open_low else self.low <= value
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self):
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low}"
        return f"{self.low} to {'below ' if self.open_high else ''}{self.high}"


LARGEST = {int: 2**40, float: 3e38}  # more is no run; networks hold numbers of 32 bits

Count = Annotated[int, Range(1)]  # 1, 2, 3, …
Natural = Annotated[int, Range(0)]  # 0, 1, 2, …
Size = Annotated[int, Range(1, 2**16)]  # of a layer or a batch, or environments: memory is needed for all of it
Positive = Annotated[float, Range(0.0, open_low=True)]  # a rate
NonNegative = Annotated[float, Range(0.0)]  # a weight
Probability = Annotated[float, Range(0.0, 1.0)]  # a discount, too
Share = Annotated[float, Range(0.0, 1.0, open_high=True)]  # a probability that must not be certain
Percentage = Annotated[float, Range(0.0, 100.0)]
Seed = Annotated[int, Range(0, 2**30)]  # leaves room for the seeds that are derived from it, in 32 bits


def validated(train):
    """Make `train` check its arguments before it does anything, whoever calls it.

    A value becomes the type that its parameter declares: "1e5" a whole number, "false" a false one, JSON a dict. With
    `resume=True`, arguments that are not given are those that the run in `logdir` was started with.

    Args:
        train: a function; each parameter annotated and with a default.

    Returns:
        The same function, which raises UsageError, before it begins, for a value of another type or out of range, and
        where there is no run to continue.
    """
    hints, signature = get_type_hints(train, include_extras=True), inspect.signature(train)

    @functools.wraps(train)
    def check_and_train(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        values = {name: convert(name, value, hints[name]) for name, value in given.items()}
        others = {name: p.default for name, p in signature.parameters.items()}
        if values.get("resume"):
            saved = saved_arguments(values.get("logdir"), {name: hints[name] for name in others})
            if "env_id" not in values:
                refuse_to_import(saved.get("env_id"))
            others.update(saved)
        others = {name: convert(name, value, hints[name]) for name, value in others.items() if name not in values}
        return train(**others, **values)

    return check_and_train


def strict(train, argv=None):
    """Wrap `train`, which is `validated`, for `fire.Fire`, so that bad input never reaches it.

    Args:
        train: the recipe's function.
        argv: the words to check, without the program's name; by default those of this process if `train` is defined
            in the program that it runs, otherwise none.

    Returns:
        A function for Fire that returns nothing. It exits with one line on stderr and code 2 for bad input, 1 where
        training breaks down (`FloatingPointError`) or the disk does (`OSError`), and 130 after Ctrl-C.
    """
    hints = get_type_hints(train, include_extras=True)
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    is_program = train.__module__ == "__main__" and hasattr(sys.modules["__main__"], "__file__")  # no notebook
    words = argv if argv is not None else sys.argv[1:] if is_program else []
    if {"--help", "-h"} & set(words):
        sys.argv[1:], words = ["--help"], []  # beside other words Fire would run the function before it helps
    try:
        typed = read_words(words, {name: hints[name] for name in defaults})
    except UsageError as error:
        leave(2, error)

    @functools.wraps(train)
    @running()
    def run(*args, **kwargs):
        # Fire passes every argument, with types guessed from the looks of a word; the words themselves are safer.
        passed = {**dict(zip(defaults, args, strict=False)), **kwargs}
        passed = {name: value for name, value in passed.items() if value != defaults[name]}
        try:
            train(**{**passed, **typed})
            check_heard()
        except (UsageError, gym.error.Error, MemoryError) as error:
            leave(2, error)
        except (FloatingPointError, OSError) as error:
            leave(1, error)
        except KeyboardInterrupt:
            leave(130, "interrupted")
        except Exception as error:
            if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's; not imported here, for speed
                raise
            leave(2, f"not enough memory: {str(error).splitlines()[0]}")

    run.__signature__ = described(train, hints)
    return run


def described(train, hints):
    """The signature of `train` with each type in words, as Fire shows it under `--help`."""
    signature = inspect.signature(train)
    parameters = [p.replace(annotation=type(in_words(hints[p.name]), (), {})) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def in_words(hint):
    """What a value must be: "whole number, at least 1"."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(get_args(hint))}"
    kind, limits = get_args(hint) if get_origin(hint) is Annotated else (hint, None)
    name = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "JSON object"}[kind]
    return f"{name}, {limits}" if limits else name


def read_words(words, hints):
    """The flags among `words`, as a dict of strings: `--name=value`, `--name value`, or `--name` for a true one.

    Args:
        words: of the command line.
        hints: dict of every known name → its annotation.

    Raises:
        UsageError: a word that is no flag; a flag unknown (with the nearest name), given twice or without its value.
    """
    flags, waiting = {}, None  # `waiting`: the flag whose value may be the next word
    for word in words:
        if not word.startswith("-") or re.match(r"-\.?\d", word):  # a number below zero is no flag
            if waiting is None:
                raise UsageError(f"unexpected word {word!r}: write --name=value")
            flags[waiting], waiting = word, None
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        initials = [full for full in hints if full[0] == name]
        if len(initials) == 1:  # Fire's short form: -r for --resume
            name = initials[0]
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1, cutoff=0.4)
            raise UsageError(f"unknown flag --{name}" + (f"; did you mean --{near[0]}?" if near else "; see --help"))
        if name in flags:
            raise UsageError(f"--{name} is given twice")
        flags[name], waiting = (value, None) if equals else (None, name)
    for name, value in flags.items():
        if value is None and hints[name] is not bool:
            raise UsageError(f"--{name} needs a value: --{name}=…")
    return {name: "true" if value is None else value for name, value in flags.items()}


def convert(name, value, hint):
    """The value of flag `name` as the type of its annotation; UsageError where it is none, or out of range."""
    if get_origin(hint) is Literal:
        if str(value) not in get_args(hint):
            raise UsageError(f"--{name}={value}: one of {', '.join(get_args(hint))} is wanted")
        return str(value)
    kind, limits = get_args(hint) if get_origin(hint) is Annotated else (hint, None)
    if kind is str:
        if not isinstance(value, str | int | float | Path):
            raise UsageError(f"--{name}={value}: a text is wanted")
        return text(name, str(value))
    if kind is bool:
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
        if truth is None:
            raise UsageError(f"--{name}={value}: true or false is wanted")
        return truth
    if kind is dict:
        return json_object(name, value)
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        result = int(number) if kind is int else number
        if not math.isfinite(number) or result != number:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise UsageError(f"--{name}={value}: {'a whole number' if kind is int else 'a number'} is wanted") from None
    if limits is not None and result not in limits:
        raise UsageError(f"--{name}={value}: it must be {limits}")
    if abs(result) > LARGEST[kind]:
        raise UsageError(f"--{name}={value}: the number is too large")
    return result


def text(name, value):
    """The text of flag `name`, with the home folder for a `~`, which shells leave alone after the `=`."""
    value = os.path.expanduser(value)
    try:
        value.encode()
    except UnicodeEncodeError:  # TensorFlow takes no file name with such bytes
        raise UsageError(f"--{name}={value}: it holds bytes that are no text in this locale") from None
    return value


def json_object(name, value):
    """A dict of what JSON can hold: a dict, the text of a JSON object, or {} for None; UsageError for anything else."""
    try:
        result = json.loads(
            value if isinstance(value, str) else json.dumps({} if value is None else value), parse_constant=int
        )
        if not isinstance(result, dict):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise UsageError(f"--{name}={value}: a JSON object is wanted, such as '{{\"name\": 1}}'") from None
    return result


def saved_arguments(logdir, hints):
    """The arguments of the run in `logdir`, from its `config.json`.

    Args:
        logdir: folder of the run.
        hints: dict of every argument to return → its annotation; one that the file lacks is left out.

    Raises:
        UsageError: there is no such file, it cannot be read, or a value in it is of the wrong type or out of range.
    """
    if not logdir:
        raise UsageError("--resume needs --logdir=DIR, the folder of the run to continue")
    path = Path(logdir) / "config.json"
    try:
        saved = json.loads(path.read_text())["arguments"]
        wrong = [name for name in hints if name in saved and not isinstance(saved[name], str | int | float | dict)]
        if wrong:
            raise UsageError(f"--{wrong[0]}={saved[wrong[0]]}")
        return {name: convert(name, saved[name], hint) for name, hint in hints.items() if name in saved}
    except FileNotFoundError:
        raise UsageError(f"--resume: no run in {logdir} ({path.name} is missing)") from None
    except UsageError as error:
        raise UsageError(f"--resume: {path} is damaged: {error}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"--resume: {path} cannot be read: {error!r}") from None


def refuse_to_import(env_id):
    """UsageError if a file names an environment of a module: only what the user typed is imported."""
    if ":" in str(env_id):
        raise UsageError(f"its world is {env_id}, and only a module that you name is imported: add --env_id={env_id}")
