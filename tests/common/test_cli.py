"""The words of a command line, one by one, and what a wrapped function answers."""

import json
import re
import sys

import pytest

from common.cli import (
    Count,
    Natural,
    Positive,
    Probability,
    Seed,
    Size,
    UsageError,
    convert,
    read_words,
    strict,
    validated,
)
from common.lazy import tf

KNOWN = {"episodes": Count, "env_id": str, "resume": bool}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--episodes=3"], {"episodes": "3"}),
        (["--episodes", "3"], {"episodes": "3"}),
        (["--env-id=ALE/Pong-v5", "--resume"], {"env_id": "ALE/Pong-v5", "resume": "true"}),
        (["--resume", "--episodes=3"], {"resume": "true", "episodes": "3"}),
        (["--env_id=a=b"], {"env_id": "a=b"}),
        (["-r"], {"resume": "true"}),
        (["--episodes=-1"], {"episodes": "-1"}),
        (["--episodes", "-3"], {"episodes": "-3"}),
        (["--resume", "false"], {"resume": "false"}),
    ],
)
def test_words(words, expected):
    assert read_words(words, KNOWN) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--episode=3"], "unknown flag --episode; did you mean --episodes?"),
        (["3"], "unexpected word '3'"),
        (["--episodes=3", "4"], "unexpected word '4'"),
        (["--episodes=3", "--episodes=4"], "--episodes is given twice"),
        (["-e=3"], "unknown flag --e"),  # two flags begin with e
        (["--"], "unknown flag --"),
        (["--zzz"], "unknown flag --zzz; see --help"),
        (["--env_id", "--episodes=3"], "--env_id needs a value"),
        (["--env_id"], "--env_id needs a value"),
    ],
)
def test_words_refused(words, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        read_words(words, KNOWN)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("1e5", Count, 100_000),
        (100_000.0, int, 100_000),
        ("1073741824", Seed, 2**30),
        ("0", Natural, 0),
        ("2.5e-4", Positive, 0.00025),
        ("1", Probability, 1.0),
        ("0", Probability, 0.0),
        ("false", bool, False),
        ("True", bool, True),
        ("1e3", str, "1e3"),
        ('{"is_slippery": false, "n": [1, 2.5]}', dict, {"is_slippery": False, "n": [1, 2.5]}),
        ({"n": (1, 2)}, dict, {"n": [1, 2]}),  # as it will be read again
        (None, dict, {}),
    ],
)
def test_values(value, hint, expected):
    result = convert("x", value, hint)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("0", Count), ("-1", Natural), ("2.5", int), ("many", int), ("inf", Count), ("1e999", int),
        ("0", Positive), ("-1e-4", Positive), ("nan", Positive), ("1.01", Probability), ("-0.1", Probability),
        ("fast", float), ("maybe", bool), ("2", bool), ("", int), ("1e30", Count), ("1e300", Size), ("1e12", Size),
        ("65537", Size), ("1e39", Positive), ("-1e39", float), ("1e30", Natural), ("None", Count),
        ("[1]", dict), ("{", dict), ("{'a': 1}", dict), ('{"a": NaN}', dict), ("3", dict), ("", dict), ([], dict),
        ("[" * 100_000, dict), ({"a": {1, 2}}, dict), (None, Count), ([3], Count), (None, bool),
        (None, str), ([], str), (True, Count), ("runs/\udcff", str),
    ],
)  # fmt: skip
def test_values_refused(value, hint):
    with pytest.raises(UsageError, match=re.escape(f"--x={value}")):
        convert("x", value, hint)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/runs/a", "/home/me/runs/a"), ("~", "/home/me"), ("~no-such-user/a", "~no-such-user/a"),
        ("./~/a", "./~/a"), ("a~", "a~"), ("", ""),
    ],
)  # fmt: skip
def test_a_tilde_is_the_home_folder(value, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert convert("logdir", value, str) == expected


def test_the_run_to_continue_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    @validated
    def train(logdir: str = "", resume: bool = False, gamma: Probability = 0.9):
        seen.update(logdir=logdir, gamma=gamma)

    seen = {}
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.json").write_text('{"arguments": {"gamma": 0.5}}')
    strict(train, ["--logdir=~", "--resume"])()
    assert seen == {"logdir": str(tmp_path), "gamma": 0.5}


def outcome(capsys, train, *words):
    """Exit code and stderr of `train` as a command."""
    with pytest.raises(SystemExit) as exit:
        strict(train, list(words))()
    return exit.value.code, capsys.readouterr().err


def test_each_failure_has_its_exit_code_and_one_line(capsys):
    def failing(error):
        def train(episodes: Count = 1):
            raise error

        return train

    assert outcome(capsys, failing(UsageError("no\nsuch game")))[0] == 2
    assert outcome(capsys, failing(FloatingPointError("nan")))[0] == 1
    assert outcome(capsys, failing(KeyboardInterrupt()))[0] == 130
    assert outcome(capsys, failing(MemoryError("6 TB")))[0] == 2
    code, err = outcome(capsys, failing(UsageError("no\nsuch game")))
    assert code == 2 and err.count("\n") == 1 and "no such game" in err
    code, err = outcome(capsys, failing(tf.errors.ResourceExhaustedError(None, None, "OOM of [9, 9]\nand a stack")))
    assert code == 2 and err.count("\n") == 1 and err.endswith(": not enough memory: OOM of [9, 9]\n")
    with pytest.raises(ZeroDivisionError):  # a fault of ours is not dressed up as the user's
        strict(failing(ZeroDivisionError()), [])()


def test_the_words_win_over_guessed_types(capsys):
    seen = {}

    @validated
    def train(logdir: str = "", episodes: Count = 1, resume: bool = False):
        seen.update(logdir=logdir, episodes=episodes, resume=resume)

    strict(train, ["--logdir=1e3", "--episodes=1e1", "--resume=false"])("1000.0", 10.0, "false")  # as Fire passes them
    assert seen == {"logdir": "1e3", "episodes": 10, "resume": False}


def test_resume_takes_the_settings_of_the_run(tmp_path, capsys):
    seen = {}

    @validated
    def train(env_id: str = "a", episodes: Count = 1, logdir: str = "", resume: bool = False, gamma: Probability = 0.9):
        seen.update(env_id=env_id, episodes=episodes, logdir=logdir, resume=resume, gamma=gamma)

    config = {"arguments": {"env_id": "b", "episodes": 5, "logdir": "elsewhere", "resume": False, "gamma": 0.5}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    here = f"--logdir={tmp_path}"
    strict(train, [here, "--resume"])()
    assert seen == {"env_id": "b", "episodes": 5, "logdir": str(tmp_path), "resume": True, "gamma": 0.5}
    strict(train, [here, "--resume", "--episodes=9", "--gamma=0.5"])()
    assert seen["episodes"] == 9
    strict(train, [here, "--resume", "--gamma=0.9"])()
    assert seen["gamma"] == 0.9  # what differs is for the run log to refuse: it knows the run
    assert outcome(capsys, train, "--resume")[0] == 2
    code, err = outcome(capsys, train, f"--logdir={tmp_path / 'nowhere'}", "--resume")
    assert code == 2 and "no run in" in err
    (tmp_path / "config.json").write_text('{"arguments": ')
    code, err = outcome(capsys, train, here, "--resume")
    assert code == 2 and "cannot be read" in err


def test_called_from_python_the_checks_and_the_settings_of_a_run_are_the_same(tmp_path):
    @validated
    def train(env_id: str = "a", episodes: Count = 1, logdir: str = "", resume: bool = False, env_kwargs: dict = None):
        return env_id, episodes, env_kwargs

    assert train("b", episodes="1e1") == ("b", 10, {}) and train() == ("a", 1, {})
    for wrong in ({"episodes": "abc"}, {"episodes": 0}, {"env_kwargs": "{"}, {"resume": True}, {"resume": "perhaps"}):
        with pytest.raises(UsageError):
            train(**wrong)
    with pytest.raises(TypeError, match="episode"):
        train(episode=3)
    saved = {"env_id": "b", "episodes": 5, "env_kwargs": {"n": 1}}
    (tmp_path / "config.json").write_text(json.dumps({"arguments": saved}))
    assert train(logdir=str(tmp_path), resume=True) == ("b", 5, {"n": 1})
    assert train(logdir=str(tmp_path), resume=True, episodes=1) == ("b", 1, {"n": 1})  # also where it is the default
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {**saved, "env_id": "module:b"}}))
    with pytest.raises(UsageError, match="add --env_id=module:b"):
        train(logdir=str(tmp_path), resume=True)
    assert train("module:b", logdir=str(tmp_path), resume=True) == ("module:b", 5, {"n": 1})
    (tmp_path / "config.json").write_text(json.dumps({"arguments": {**saved, "episodes": None}}))
    with pytest.raises(UsageError, match="--episodes=None"):
        train(logdir=str(tmp_path), resume=True)


def test_the_words_of_the_process_count_only_in_the_program_that_defines_the_function(monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook", "-f", "kernel.json"])

    @validated
    def train(episodes: Count = 1):
        assert episodes == 3

    strict(train)(episodes=3)
    train.__module__ = "__main__"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "program.py", raising=False)
    with pytest.raises(SystemExit):
        strict(train)
    monkeypatch.delattr(sys.modules["__main__"], "__file__")  # as in a notebook
    strict(train)(episodes=3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"episodes": None}, "--episodes=None"),
        ({"episodes": "many"}, "--episodes=many: a whole number"),
        ({"episodes": 0}, "--episodes=0: it must be at least 1"),
        ({"episodes": [3]}, "--episodes=[3]"),
        ({"env_id": None}, "--env_id=None"),
        ({"resume": "perhaps"}, "--resume=perhaps"),
        ("text", None),
        ([], None),
        (3, None),
    ],
)
def test_a_damaged_setting_of_the_run_is_one_line_that_names_its_file(tmp_path, capsys, arguments, said):
    @validated
    def train(env_id: str = "a", episodes: Count = 1, logdir: str = "", resume: bool = False):
        raise UsageError(f"{tmp_path / 'config.json'} is damaged: arguments")  # as a run says that looks at the rest

    (tmp_path / "config.json").write_text(json.dumps({"arguments": arguments}))
    code, err = outcome(capsys, train, f"--logdir={tmp_path}", "--resume")
    assert code == 2 and err.count("\n") == 1 and f"{tmp_path / 'config.json'}" in err and (said or "") in err


def test_help_wins_over_every_other_word(monkeypatch):
    monkeypatch.setattr("sys.argv", ["recipe.py", "--episodes=3", "--help"])
    strict(lambda: None, sys.argv[1:])
    assert sys.argv == ["recipe.py", "--help"]
