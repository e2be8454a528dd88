"""What surrounds a recipe that runs as a program: its streams, and the signals that end it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common import program
from common.lazy import keras

MODELS = Path(__file__).parent.parent.parent / "models"
PLAY = ("play", f"--model={MODELS / 'actor_critic_cartpole.keras'}", "--episodes=2")
TRAIN = ("reinforce_cartpole", "--logdir=run", "--episodes=4", "--num_envs=2", "--eval_episodes=2")
AS_PROGRAM = "from common import program; program.is_program = lambda: True; program.take_over()\n"


def shell(command, code="", **environment):
    """A line for bash, in which `python` is this Python and `$CODE` what it may run; returns the CompletedProcess."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CODE": code, **environment}
    line = ["bash", "-c", f"set -o pipefail; {command}"]
    return subprocess.run(line, capture_output=True, text=True, errors="replace", env=environment, timeout=120)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_is_taken_for_a_stream_that_is_closed(closed, tmp_path):
    code = f"""
import common, os, subprocess, sys
file = open({str(tmp_path / "file")!r}, "w")
for stream in (sys.stdout, sys.stderr):
    print("said", file=stream, flush=True)
    os.write(stream.fileno(), b"natively")
subprocess.run(["sh", "-c", "echo a child; echo a child >&2"], check=True)
assert sys.stdin.read() == "" and not sys.stderr.isatty()
"""
    done = shell(f'python -c "$CODE" < /dev/null {closed}', code)
    assert done.returncode == 0 and (tmp_path / "file").read_text() == "", done.stderr
    assert bool(done.stdout) == (closed not in (">&-", "<&- >&- 2>&-"))
    assert bool(done.stderr) == ("2>&-" not in closed)


@pytest.mark.parametrize("python", ["python", "python -u"])
@pytest.mark.parametrize("reader", ["| true", "2>&1 | true", "| head -1", "2>&1 | head -1"])
def test_a_reader_that_leaves_disturbs_nobody(python, reader, tmp_path):
    """The pipe breaks while the program runs, and again when it prints its last words at its end."""
    code = f"""
import sys, time
print("first", flush=True)
time.sleep(0.2)
print("x" * 100_000, flush=True)
print("warned" if {"2>&1" in reader} else "", end="", file=sys.stderr, flush=True)
open({str(tmp_path / "saved")!r}, "w").close()
print("last")
program.check_heard()
"""
    done = shell(f'{python} -c "$CODE" {reader}', AS_PROGRAM + code)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "first\n" if "head" in reader else "")
    assert (tmp_path / "saved").exists()


def test_a_result_that_could_not_be_written_is_no_success():
    code = """
print("x" * 100_000, flush=True)
try:
    program.check_heard()
except OSError as error:
    program.leave(1, error)
"""
    done = shell('python -c "$CODE" > /dev/full', AS_PROGRAM + code)
    assert (done.returncode, done.stderr) == (1, "-c: [Errno 28] standard output: No space left on device\n")


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
def test_what_a_terminal_cannot_show_costs_a_letter_and_not_the_line(environment):
    done = shell('python -c "$CODE"', AS_PROGRAM + r"print('42.61 \u00b1 8.83 of \udcff')", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42.61 ? 8.83 of ?\n", "")


# A module that is interrupted and that swallows the exception, as parts of TensorFlow and matplotlib do.
SWALLOWING = """
import signal
try:
    signal.raise_signal(signal.{})
except BaseException:
    pass
raise ImportError("the signal was swallowed")
"""


@pytest.mark.parametrize("module", ["gymnasium", "keras"])
@pytest.mark.parametrize("command", [TRAIN, PLAY], ids=["train", "play"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_while_it_imports_ends_it_at_once(module, command, name, tmp_path_factory, tmp_path, run_recipe):
    folder = tmp_path_factory.mktemp("path")
    (folder / f"{module}.py").write_text(SWALLOWING.format(name))
    done = run_recipe(*command, PYTHONPATH=str(folder))
    said = f"{command[0]}.py: interrupted\n" if name == "SIGINT" else ""
    assert (done.returncode, done.stdout, done.stderr) == (128 + getattr(signal, name), "", said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", sorted(program.SIGNALS))
def test_a_signal_while_it_runs_unwinds(number, monkeypatch):
    monkeypatch.setattr(program, "is_program", lambda: True)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)) as raised, program.running():
            signal.raise_signal(number)
        assert raised.type is KeyboardInterrupt if number == signal.SIGINT else raised.value.code == 128 + number
        assert signal.getsignal(number) == signal.default_int_handler
        signal.signal(number, signal.SIG_IGN)
        with program.running():
            signal.raise_signal(number)  # what is ignored, as SIGHUP under nohup, stays ignored
    finally:
        signal.signal(number, before)


def test_only_a_program_is_taken_over(monkeypatch):
    assert not program.is_program()
    recipe = str(program.RECIPES / "play.py")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", recipe, raising=False)
    assert program.is_program()
    monkeypatch.setattr("builtins.__IPYTHON__", True, raising=False)  # %run in a notebook
    assert not program.is_program()
    done = shell("python -m recipes.play --help 2>&1 > /dev/null | head -1")
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 1


@pytest.mark.slow
def test_a_training_and_a_game_in_odd_surroundings(tmp_path):
    """Surroundings in which it failed, all of them at once."""
    (tmp_path / "keras").mkdir()
    settings = '{"backend": "jax", "floatx": "float64", "image_data_format": "channels_first", "epsilon": 1e-3}'
    (tmp_path / "keras" / "keras.json").write_text(settings)
    environment = {
        "KERAS_HOME": str(tmp_path / "keras"), "KERAS_BACKEND": "torch", "PYTHONIOENCODING": "ascii",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline", "TMPDIR": "/nonexistent",
    }  # fmt: skip
    train, play = (f"python {program.RECIPES / name}.py {' '.join(flags)}" for name, *flags in (TRAIN, PLAY))
    done = shell(f"cd {tmp_path}; ulimit -n 64; unset HOME; {train} <&- 2>&- | head -1", **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run             run\n", "")
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert {layer.dtype for layer in model.layers} == {"float32"}
    done = shell(f"cd {tmp_path}; unset HOME; {play} <&- 2>&-", **environment)
    assert done.returncode == 0 and done.stdout.startswith("CartPole-v1: 500.00 ? 0.00, 500 to 500"), done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"keras", "run"}
