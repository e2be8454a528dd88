"""Every program in the book's pages runs, and code that a page quotes is that of its file."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
import variants  # noqa: E402

FOLDS = re.compile(r"<details>.*?</details>", re.DOTALL)  # solutions, which tests/test_exercises.py runs
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{i}")
    for page in sorted((ROOT / "book").glob("*.md"))
    for i, program in enumerate(re.findall(r"```python\n(.*?)```", FOLDS.sub("", page.read_text()), re.DOTALL))
]

QUOTES = [
    pytest.param(name, code, id=f"{page.stem}-{i}")
    for page in sorted((ROOT / "book").glob("*.md"))
    for i, (name, code) in enumerate(re.findall(r"<!-- from (\S+) -->\n```py\n(.*?)\n```", page.read_text(), re.DOTALL))
]


def stands_in(code, text):
    """Whether these lines stand one after the other in the text, indented further at most."""
    lines, count = text.splitlines(), code.count("\n") + 1
    return any(textwrap.dedent("\n".join(lines[i : i + count])) == code for i in range(len(lines)))


@pytest.mark.parametrize(("name", "code"), QUOTES)
def test_code_that_a_page_quotes_stands_in_its_file(name, code):
    assert stands_in(code, (ROOT / name).read_text()), f"not in {name}:\n{code}"


def test_code_that_differs_from_its_file_is_found():
    text = "def f(x):\n    y = x\n\n    return y\n"
    assert stands_in("y = x\n\nreturn y", text) and stands_in(text.strip(), text)
    assert not any(stands_in(code, text) for code in ("y = x\nreturn y", "y = x\n\nreturn x", "y", "  y = x"))


def test_code_that_is_no_program_and_not_quoted_has_a_blank_to_fill():
    for page in (ROOT / "book").glob("*.md"):
        for mark, code in re.findall(r"^(.*)\n```py\n((?:.*\n)*?)```$", page.read_text(), re.MULTILINE):
            assert mark.startswith("<!-- from ") or "..." in code, f"{page.name}:\n{code}"


def test_ppos_page_names_every_variant_that_is_measured_and_its_flags():
    page = " ".join((ROOT / "book" / "ppo_cartpole.md").read_text().split())
    for name, (flags, _) in variants.VARIANTS["ppo_cartpole"].items():
        assert name == "as it is" or f"*{name}*" in page, name
        for flag in flags.split():
            assert f"`{flag.split('=')[0]}`" in page, flag
    named = re.findall(r" Row: \*(.*?)\*\.", page)
    assert sorted([*named, "as it is"]) == sorted(variants.VARIANTS["ppo_cartpole"])


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


def test_the_index_names_every_page_and_every_link_of_the_book_leads_somewhere():
    index = (ROOT / "book" / "README.md").read_text()
    for page in (ROOT / "book").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_map_of_the_book_has_an_arrow_for_every_pair_of_siblings():
    drawn = set(re.findall(r"(\w+) -->\|.*?\| (\w+)", (ROOT / "book" / "README.md").read_text()))
    pairs = re.findall(r"^diff recipes/(\w+)\.py recipes/(\w+)\.py$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert pairs and set(pairs) == drawn


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_is_short_enough_to_be_read_to_its_end(page):
    """At most 2,000 words, without tables, code and folded solutions."""
    text = re.sub(r"```.*?```|<details>.*?</details>", "", page.read_text(), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "    "))]
    assert len(" ".join(lines).split()) <= 2_000
