"""Every program in the book's pages runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{i}")
    for page in sorted((ROOT / "book").glob("*.md"))
    for i, program in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_book_runs(program, tmp_path):
    first = PROGRAMS[[p.id for p in PROGRAMS].index("own_world-0")].values[0]
    (tmp_path / "corridor.py").write_text(first)  # which a later program of that page imports
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.slow
def test_the_notebook_trains_shows_trains_on_and_plays(tmp_path):
    notebook = shutil.copy(ROOT / "book" / "train_and_watch.ipynb", tmp_path)  # where its kernel starts and it trains
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to=notebook", "--execute", "--inplace", str(notebook)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    outputs = [out for cell in json.loads(Path(notebook).read_text())["cells"] for out in cell.get("outputs", [])]
    kinds = [kind for out in outputs for kind in out.get("data", {})]
    assert kinds.count("image/png") == 2 and kinds.count("image/gif") == 2
    said = "".join("".join(out["text"]) for out in outputs if out["output_type"] == "stream")
    before, after = map(float, re.search(r"mean return ([\d.]+) before, ([\d.]+) after", said).groups())
    assert before < 300 < after <= 500 and "Warning" not in said


def test_the_pages_name_only_what_exists():
    for page in (ROOT / "book").glob("*.md"):
        named = re.findall(
            r"(?<!\.net/)\b(?:recipes|benchmarks|common|envs|book|tests|models)/[\w/.-]+\.\w+", page.read_text()
        )
        for name in named:
            assert (ROOT / name).exists(), f"{page.name}: {name}"
