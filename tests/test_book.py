"""Every program in the book's pages runs."""

import os
import re
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
def test_a_program_of_the_book_runs(program):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_pages_name_only_what_exists():
    for page in (ROOT / "book").glob("*.md"):
        named = re.findall(r"\b(?:recipes|benchmarks|common|envs|book|tests|models)/[\w/.-]+\.\w+", page.read_text())
        for name in named:
            assert (ROOT / name).exists(), f"{page.name}: {name}"
