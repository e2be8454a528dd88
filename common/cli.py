"""The command line of a recipe: Fire reads it, `strict` makes it answer for every word.

Fire alone reports an unknown flag after the function has run, takes `--x=false` for a true string and `1e5` for a
float. `strict` checks the names before anything runs and turns every value into the type that `train` declares:

    def train(episodes: Count = 200, gamma: Probability = 0.99, resume: bool = False): ...

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


Count = Annotated[int, Range(1)]  # 1, 2, 3, …
Natural = Annotated[int, Range(0)]  # 0, 1, 2, …
Positive = Annotated[float, Range(0.0, open_low=True)]  # a rate
NonNegative = Annotated[float, Range(0.0)]  # a weight
Probability = Annotated[float, Range(0.0, 1.0)]  # a discount, too
Share = Annotated[float, Range(0.0, 1.0, open_high=True)]  # a probability that must not be certain
Percentage = Annotated[float, Range(0.0, 100.0)]
Seed = Annotated[int, Range(0, 2**30)]  # leaves room for the seeds that are derived from it, in 32 bits


def strict(train, argv=None):
    """Wrap `train` for `fire.Fire` so that bad input never reaches it.

    Args:
        train: the recipe's function; each parameter annotated and with a default.
        argv: the words to check, without the program's name; those of this process by default.

    Returns:
        A function for Fire that returns nothing. It exits with one line on stderr and code 2 for bad input, 1 where
        training breaks down (`FloatingPointError`) or the disk does (`OSError`), and 130 after Ctrl-C.
    """
    hints = get_type_hints(train, include_extras=True)
    defaults = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    words = sys.argv[1:] if argv is None else argv
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
        passed = {name: value for name, value in zip(defaults, args, strict=False) if value != defaults[name]}
        try:
            values = {name: convert(name, value, hints[name]) for name, value in {**passed, **kwargs, **typed}.items()}
            if values.get("resume"):
                saved = saved_arguments(values.get("logdir"))
                values = {**{n: convert(n, saved[n], hints[n]) for n in defaults if n in saved}, **values}
            train(**values)
            check_heard()
        except (UsageError, gym.error.Error, MemoryError) as error:
            leave(2, error)
        except (FloatingPointError, OSError) as error:
            leave(1, error)
        except KeyboardInterrupt:
            leave(130, "interrupted")

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
    name = {int: "whole number", float: "number", str: "text", bool: "true or false"}[kind]
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
        return text(name, str(value))
    if kind is bool:
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(str(value).lower())
        if truth is None:
            raise UsageError(f"--{name}={value}: true or false is wanted")
        return truth
    try:
        number = float(value)
        result = int(number) if kind is int else number
        if not math.isfinite(number) or result != number:
            raise ValueError
        if kind is int and str(value).lstrip("+-").isdigit():
            result = int(value)  # beyond 2**53 a float would lose digits
    except (ValueError, OverflowError):
        raise UsageError(f"--{name}={value}: {'a whole number' if kind is int else 'a number'} is wanted") from None
    if limits is not None and result not in limits:
        raise UsageError(f"--{name}={value}: it must be {limits}")
    return result


def text(name, value):
    """The text of flag `name`, with the home folder for a `~`, which shells leave alone after the `=`."""
    value = os.path.expanduser(value)
    try:
        value.encode()
    except UnicodeEncodeError:  # TensorFlow takes no file name with such bytes
        raise UsageError(f"--{name}={value}: it holds bytes that are no text in this locale") from None
    return value


def saved_arguments(logdir):
    """The arguments of the run in `logdir`, from its `config.json`; UsageError where there is none that can be read."""
    if not logdir:
        raise UsageError("--resume needs --logdir=DIR, the folder of the run to continue")
    path = Path(logdir) / "config.json"
    try:
        return dict(json.loads(path.read_text())["arguments"])
    except FileNotFoundError:
        raise UsageError(f"--resume: no run in {logdir} ({path.name} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--resume: {path} cannot be read: {error!r}") from None
