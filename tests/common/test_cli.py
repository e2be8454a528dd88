"""The words of a command line, one by one, and what a wrapped function answers."""

import json
import sys

import pytest

from common.cli import Count, Natural, Positive, Probability, UsageError, convert, read_words, strict

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
        ("9007199254740993", Natural, 2**53 + 1),
        ("0", Natural, 0),
        ("2.5e-4", Positive, 0.00025),
        ("1", Probability, 1.0),
        ("0", Probability, 0.0),
        ("false", bool, False),
        ("True", bool, True),
        ("1e3", str, "1e3"),
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
        ("fast", float), ("maybe", bool), ("2", bool), ("", int), ("runs/\udcff", str),
    ],
)  # fmt: skip
def test_values_refused(value, hint):
    with pytest.raises(UsageError, match=f"--x={value}"):
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
    with pytest.raises(ZeroDivisionError):  # a fault of ours is not dressed up as the user's
        strict(failing(ZeroDivisionError()), [])()


def test_the_words_win_over_guessed_types(capsys):
    seen = {}

    def train(logdir: str = "", episodes: Count = 1, resume: bool = False):
        seen.update(logdir=logdir, episodes=episodes, resume=resume)

    strict(train, ["--logdir=1e3", "--episodes=1e1", "--resume=false"])("1000.0", 10.0, "false")  # as Fire passes them
    assert seen == {"logdir": "1e3", "episodes": 10, "resume": False}


def test_resume_takes_the_settings_of_the_run(tmp_path, capsys):
    seen = {}

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


def test_help_wins_over_every_other_word(monkeypatch):
    monkeypatch.setattr("sys.argv", ["recipe.py", "--episodes=3", "--help"])
    strict(lambda: None)
    assert sys.argv == ["recipe.py", "--help"]
