"""A recipe with many seeds: what each of them is, what is refused, how a sweep ends and how it goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from matplotlib.image import imread

from common.checkpoint import checkpoints
from common.cli import UsageError, strict
from common.files import read_csv
from recipes import q_learning_cliffwalking, q_table_frozenlake
from recipes.sweep import sweep

ROOT = Path(__file__).parent.parent.parent
QUICK = {"episodes": 12, "max_steps": 60, "eval_interval": 0, "eval_episodes": 2}
LONG = {"episodes": 3000, "save_interval": 2000, "eval_interval": 0, "eval_episodes": 5}

# A recipe that is played by a few lines, so that no seed takes longer than it must.
STUB = """
import json, os, pathlib, signal, sys, time

def train():
    flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
    seed, run = int(flags["seed"]), pathlib.Path(flags["logdir"])
    threads = [os.environ[f"{name}_THREADS"] for name in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")]
    with open("started", "a") as file:
        print(seed, flags["resume"], *threads, os.getpgrp() == os.getpid(), file=file)
    run.mkdir(parents=True, exist_ok=True)
    WHAT
    (run / "config.json").write_text("{}")
    table = "episode,step,seconds,episode_return,episode_length"
    (run / "episodes.csv").write_text(f"{table}\\n1,5,0.5,{seed},5\\n2,9,1.5,{seed + 2},4\\n")

train()
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Take `hardcoded_cartpole` for a program that begins with `what`; returns (seed, resume, threads…, whether
    it leads a process group) as started."""
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("recipes.sweep.RECIPES", recipes)

    def write(what="pass"):
        (recipes / "hardcoded_cartpole.py").write_text(STUB.replace("WHAT", what))
        return lambda: [line.split() for line in Path("started").read_text().splitlines()]

    return write


def stubbed(**flags):
    return sweep(**{"recipe": "hardcoded_cartpole", "logdir": "swept", **flags})


def command(*flags):
    return [sys.executable, str(ROOT / "recipes" / "sweep.py"), *flags]


def words(flags):
    return " ".join(f"--{name}={value}" for name, value in flags.items())


def rows(folder):
    """`episodes.csv` without the seconds."""
    return [line.split(",")[:2] + line.split(",")[3:] for line in (folder / "episodes.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three seeds of Q-learning by the command, from another folder: (CompletedProcess, folder)."""
    folder = tmp_path_factory.mktemp("sweep") / "three [seeds]"
    flags = ["--recipe=q_learning_cliffwalking", "--seeds=3", "--first_seed=4", f"--flags={words(QUICK)}"]
    done = subprocess.run(
        command(*flags, f"--logdir={folder.name}"), cwd=folder.parent, capture_output=True, text=True, timeout=300
    )
    return done, folder


@pytest.mark.slow
def test_each_seed_is_the_run_of_the_recipe_alone(swept, tmp_path):
    done, folder = swept
    assert (done.returncode, done.stderr) == (0, "")
    first, *seeds, last = done.stdout.splitlines()
    assert first == f"sweep           {folder.name}" and last.startswith("3 seeds: median ")
    assert last.endswith(f"; {folder.name}/seeds.png") and imread(folder / "seeds.png").std() > 0
    assert sorted(line[:8] for line in seeds) == ["seed 4: ", "seed 5: ", "seed 6: "]
    scores = {seed: json.loads((folder / seed / "evaluation.json").read_text())["scores"] for seed in "456"}
    for line in seeds:  # "seed 4: -13 in 0.1 s"
        assert float(line.split()[2]) == pytest.approx(sum(scores[line[5]]) / 2, rel=1e-3)
    for seed in (4, 5, 6):
        q_learning_cliffwalking.train(**QUICK, seed=seed, logdir=str(tmp_path / str(seed)))
        assert rows(tmp_path / str(seed)) == rows(folder / str(seed)) and len(rows(folder / str(seed))) == 13
        assert (folder / str(seed) / "finished.json").exists()
    assert rows(folder / "4") != rows(folder / "5")


@pytest.mark.slow
def test_a_seed_whose_folder_is_gone_is_run_again_and_no_other(swept, tmp_path):
    folder = tmp_path / "again"
    shutil.copytree(swept[1], folder)
    shutil.rmtree(folder / "5")
    before = {path: path.stat().st_mtime_ns for seed in "46" for path in (folder / seed).rglob("*")}
    done = subprocess.run(command(f"--logdir={folder}", "--resume"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line[:7] for line in done.stdout.splitlines()] == ["sweep  ", "seed 5:", "3 seeds"]
    assert rows(folder / "5") == rows(swept[1] / "5")
    assert before == {path: path.stat().st_mtime_ns for seed in "46" for path in (folder / seed).rglob("*")}


@pytest.mark.slow
def test_a_seed_whose_checkpoint_is_damaged_is_named_and_the_rest_is_drawn(swept, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(swept[1], folder)
    (folder / "5" / "finished.json").unlink()
    (checkpoints(folder / "5" / "checkpoint")[-1] / "state.json").write_text("{}")
    done = subprocess.run(command(f"--logdir={folder}", "--resume"), capture_output=True, text=True, timeout=300)
    failed, last = done.stderr.splitlines()
    assert failed.startswith("seed 5 failed with code 2: q_learning_cliffwalking.py: ") and "is damaged" in failed
    assert (done.returncode, last) == (1, "sweep.py: 1 of 3 seeds failed: 5")
    assert done.stdout.splitlines()[-1].startswith("2 seeds: median ")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_said(tmp_path):
    flags = "--learning_rate=1e30 --num_envs=2 --episodes=20"
    done = subprocess.run(
        command("--recipe=reinforce_cartpole", "--seeds=1", f"--flags={flags}", "--logdir=nan"),
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("seed 0 failed with code 1: reinforce_cartpole.py: "), done
    assert "finite" in done.stderr or "the loss is" in done.stderr
    assert not (tmp_path / "nan" / "0" / "finished.json").exists() and not (tmp_path / "nan" / "seeds.png").exists()


@pytest.mark.slow
def test_a_sweep_that_is_interrupted_saves_every_seed_and_goes_on(tmp_path):
    folder, flags = tmp_path / "swept", ["--recipe=q_table_frozenlake", "--seeds=3", "--processes=2"]
    process = subprocess.Popen(
        command(*flags, f"--flags={words(LONG)}", f"--logdir={folder}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def games(seed):
        path = folder / str(seed) / "episodes.csv"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    while max(games(0), games(1)) < 100 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)  # while the other one trains, too, or still starts
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (130, "sweep.py: interrupted\n")
    assert out.splitlines()[-1].endswith(f"sweep.py --logdir={folder} --resume") and not (folder / "2").exists()
    seed = str(max((0, 1), key=games))
    saved = int(checkpoints(folder / seed / "checkpoint")[-1].name)
    assert saved >= read_csv(folder / seed / "episodes.csv")["step"][-1]  # no game is lost
    assert 100 <= games(seed) < 3001 and not [*folder.glob("*/finished.json")]
    done = subprocess.run(command("--resume", f"--logdir={folder}"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("3 seeds: "), done.stderr
    q_table_frozenlake.train(**LONG, seed=int(seed), logdir=str(tmp_path / "alone"))
    assert rows(folder / seed) == rows(tmp_path / "alone")
    assert len(json.loads((folder / seed / "config.json").read_text())["continued"]) == 1


def test_each_seed_has_one_thread_and_so_many_run_at_once(stub, capsys):
    started = stub(
        "alive = pathlib.Path(f'alive{seed}'); alive.touch(); time.sleep(0.4); "
        "count = len([*pathlib.Path().glob('alive*')]); alive.unlink(); open(f'count{seed}', 'w').write(str(count))"
    )
    assert stubbed(seeds=5, processes=2) == Path("swept")
    assert sorted(started()) == [[str(seed), "False", "1", "1", "1", "True"] for seed in range(5)]
    assert max(int(Path(f"count{seed}").read_text()) for seed in range(5)) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "5 seeds: median 3, lowest 1, highest 5; swept/seeds.png"  # means of seed and seed + 2
    assert sorted(out[1:-1]) == [f"seed {seed}: {seed + 1} in 1.5 s" for seed in range(5)]


def test_by_default_as_many_run_at_once_as_there_are_cores(stub, monkeypatch):
    asked = []
    monkeypatch.setattr("recipes.sweep.train_all", lambda *args: asked.append(args[3]) or [])
    stub()
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 6}, raising=False)
    stubbed(logdir="a")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    stubbed(logdir="b"), stubbed(logdir="c", processes=2)
    assert asked == [3, 7, 2]


def test_a_seed_that_fails_is_named_and_the_others_finish(stub, capsys):
    started = stub("if seed == 1: print('once\\ntwice', file=sys.stderr); sys.exit(3)")
    with pytest.raises(OSError, match="1 of 3 seeds failed: 1"):
        stubbed(seeds=3, processes=1)
    out, err = capsys.readouterr()
    assert err == "seed 1 failed with code 3: twice\n" and "2 seeds: median 2, lowest 1, highest 3" in out
    stub("if seed == 1: sys.exit(3)")
    with pytest.raises(OSError, match="1 of 3 seeds failed"):
        stubbed(resume=True)
    assert [line[:2] for line in started()] == [["0", "False"], ["1", "False"], ["2", "False"], ["1", "False"]]
    assert capsys.readouterr().err == "seed 1 failed with code 3: it said nothing\n"
    stub()
    assert stubbed(resume=True, seeds=4) == Path("swept")  # and one more
    assert sorted(line[0] for line in started()[4:]) == ["1", "3"]
    assert "4 seeds: median 2.5, lowest 1, highest 4" in capsys.readouterr().out
    stubbed(resume=True)
    assert len(started()) == 6  # nothing is left to do
    assert "4 seeds: median 2.5" in capsys.readouterr().out


def test_a_seed_without_a_finished_game_has_no_score_and_no_curve(stub, capsys):
    stub("(run / 'config.json').touch(); (run / 'episodes.csv').write_text("
         "'episode,step,seconds,episode_return,episode_length\\n'); sys.exit()")  # fmt: skip
    stubbed(seeds=1)
    assert capsys.readouterr().out.splitlines()[1:] == ["seed 0: nan in 0.0 s"]
    assert not Path("swept/seeds.png").exists()


SIGNALLED = """saved = run / "config.json"; saved.touch(); end = lambda *_: (run / "saved").touch() or sys.exit(143)
    signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, lambda *_: os._exit(9))
    while not all(pathlib.Path(f"swept/{i}/config.json").exists() for i in (0, 1)): time.sleep(0.01)
    if seed == 1: os.kill(os.getppid(), signal.NUMBER)
    time.sleep(60)"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", None), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_every_run_in_order(name, code, stub, capsys, monkeypatch):
    """The runs get SIGTERM once, also those that began last; a Ctrl-C of the terminal does not reach them."""
    before, begin = [signal.getsignal(number) for number in (2, 15, 1)], time.monotonic()
    started = stub(SIGNALLED.replace("NUMBER", name))
    with pytest.raises((KeyboardInterrupt, SystemExit)) as raised:
        stubbed(seeds=3, processes=2)
    assert raised.type is KeyboardInterrupt if code is None else raised.value.code == code
    assert all(Path(f"swept/{seed}/saved").exists() for seed in (0, 1)) and not Path("swept/2").exists()
    assert time.monotonic() - begin < 50 and [signal.getsignal(number) for number in (2, 15, 1)] == before
    assert capsys.readouterr().out.splitlines()[1].endswith(" --logdir=swept --resume")
    stub()
    stubbed(resume=True)
    assert sorted(line[:2] for line in started()[2:]) == [["0", "True"], ["1", "True"], ["2", "False"]]


def test_a_second_signal_ends_them_at_once(stub):
    stub(
        "(run / 'config.json').touch(); "
        "signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGTERM)); "
        "open('pid', 'w').write(str(os.getpid())); os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    )
    begin = time.monotonic()
    with pytest.raises(SystemExit) as raised:
        stubbed(seeds=1)
    assert raised.value.code == 143 and time.monotonic() - begin < 50
    for _ in range(500):  # it is killed, and then it is gone
        state = Path(f"/proc/{Path('pid').read_text()}/stat")
        if not state.exists() or state.read_text().rsplit(")")[1].split()[0] == "Z":
            break
        time.sleep(0.01)
    else:
        pytest.fail("the run goes on")


def test_what_the_recipe_refuses_is_refused_once_and_leaves_nothing(stub, capsys):
    started = stub("run.rmdir(); print('stub.py: no such world', file=sys.stderr); sys.exit(2)")
    with pytest.raises(UsageError, match="^stub.py: no such world$"):
        stubbed(seeds=20, processes=1, logdir="new/swept")
    assert len(started()) == 1 and not (Path("new") / "swept").exists()
    assert capsys.readouterr().err == ""


def said(capsys, *flags):
    """What the command says on stderr where it exits with code 2; in this process."""
    with pytest.raises(SystemExit) as left:
        strict(sweep, argv=flags)()
    out, err = capsys.readouterr()
    assert left.value.code == 2 and err.count("\n") == 1, err
    return err


BAD = {
    "--recipe=dqn_cartpol": "did you mean dqn_cartpole?",
    "--recipe=play": "no recipe of this name trains",
    "--recipe=../x": "no recipe of this name trains",
    "--seeds=3": "--recipe=: no recipe of this name trains; there are a2c_cartpole, ",
    "--recipe=dqn_cartpole --seeds=0": "--seeds=0: it must be 1 to",
    "--recipe=dqn_cartpole --seed=3": "unknown flag --seed; did you mean --seeds?",
    "--recipe=dqn_cartpole --first_seed=1073741824 --seeds=2": "--seed=1073741825: it must be 0 to 1073741824",
    "--recipe=dqn_cartpole --processes=-1": "--processes=-1: it must be at least 0",
    "--recipe=dqn_cartpole --flags=--step=3": "--flags: unknown flag --step; did you mean --steps?",
    "--recipe=dqn_cartpole --flags=--steps=few": "--flags: --steps=few: a whole number is wanted",
    "--recipe=dqn_cartpole --flags=--gamma=2": "--flags: --gamma=2: it must be 0.0 to 1.0",
    "--recipe=dqn_cartpole --flags=steps": "--flags: unexpected word 'steps'",
    "--recipe=dqn_cartpole --flags='": "--flags: No closing quotation",
    "--recipe=dqn_cartpole --flags=--seed=3": "--flags: the sweep chooses --seed of each run",
    "--recipe=dqn_cartpole --flags=--logdir=x": "--flags: the sweep chooses --logdir of each run",
    "--recipe=dqn_cartpole --flags=--resume": "--flags: the sweep chooses --resume of each run",
    "--recipe=dqn_cartpole --resume": "--resume needs --logdir=DIR",
    "--resume --logdir=nowhere": "--resume: no run in nowhere",
    "--recipe=dqn_cartpole --logdir=file": "file cannot be written",
    "--recipe=dqn_cartpole --logdir=file/x": "file/x cannot be written",
}


@pytest.mark.parametrize("flags", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert BAD[flags] in said(capsys, *flags.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bad_input_is_refused_before_tensorflow_is_imported(tmp_path, run_recipe, no_tensorflow):
    done = run_recipe("sweep", "--recipe=dqn_cartpole", "--flags=--steps=few", PYTHONPATH=no_tensorflow)
    assert (done.returncode, done.stdout, [*tmp_path.iterdir()]) == (2, "", [])
    assert done.stderr == "sweep.py: --flags: --steps=few: a whole number is wanted\n"


def test_a_folder_with_something_in_it_is_only_resumed_as_it_was_begun(stub, capsys):
    stub()
    stubbed(seeds=1, first_seed=3, flags="--episodes=5")
    Path("full").mkdir()
    Path("full/0").touch()
    Path("run").mkdir()
    Path("run/config.json").write_text('{"recipe": "dqn_cartpole", "arguments": {"seed": 3}}')
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    recipe, swept = "--recipe=hardcoded_cartpole", "--logdir=swept"
    assert "swept is not empty: continue a sweep with --resume" in said(capsys, recipe, swept)
    assert "full is not empty" in said(capsys, recipe, "--logdir=full")
    assert "run holds no sweep" in said(capsys, "--resume", "--logdir=run")
    for flag, was in {
        "--first_seed=0": "3",
        "--flags=--episodes=6": "--episodes=5",
        "--recipe=sac": "hardcoded",
    }.items():
        assert f"--resume: {flag}, but the sweep was started with {was}" in said(capsys, "--resume", swept, flag)
    assert before == {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_two_sweeps_do_not_share_a_folder(stub, monkeypatch, capsys):
    stub()
    monkeypatch.setattr("recipes.sweep.train_all", lambda *args: stubbed(resume=True))
    with pytest.raises(UsageError, match=f"swept is in use by process {os.getpid()}"):
        stubbed(seeds=1)


def test_a_module_that_only_a_file_names_is_not_imported(stub, capsys):
    stub("sys.exit(3)")
    flags = "--env_id=corridor:Corridor-v0"
    with pytest.raises(OSError):
        stubbed(seeds=1, flags=flags)
    started = stub()
    assert capsys.readouterr().err == "seed 0 failed with code 3: it said nothing\n"
    assert f"--flags=, but the sweep was started with {flags}" in said(capsys, "--resume", "--logdir=swept")
    assert len(started()) == 1
    stubbed(resume=True, flags=flags)
    assert len(started()) == 2
