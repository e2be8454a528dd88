"""Every exercise of the book has a blank that fails its test, and a solution in its page that passes."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXERCISES = ROOT / "book" / "exercises"
NAMES = sorted(path.stem for path in EXERCISES.glob("*.py") if not path.stem.startswith("test_"))


def functions(code):
    return {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}


def solutions(name):
    """The programs in the folds of a page."""
    page = (ROOT / "book" / f"{name}.md").read_text()
    folds = re.findall(r"<summary>Solution</summary>\n(.*?)</details>", page, re.DOTALL)
    return [program for fold in folds for program in re.findall(r"```python\n(.*?)```", fold, re.DOTALL)]


def answers_of(name):
    found = functions((EXERCISES / f"test_{name}.py").read_text())
    return {test: node for test, node in found.items() if test.startswith("test_")}  # not what they share


def run_tests(folder):
    """What pytest says of every test in this folder: its name → passed or failed."""
    command = [sys.executable, "-m", "pytest", "-v", "-n", "0", "--tb=no", "-p", "no:cacheprovider", "-c", "/dev/null"]
    said = subprocess.run(
        [*command, "--rootdir=.", "."], cwd=folder, capture_output=True, text=True, timeout=600
    ).stdout
    found = re.findall(r"^(test_\w+)\.py::(test_\w+)(?:\[.*\])? (PASSED|FAILED)", said, re.MULTILINE)
    assert found, said
    return {(file, name, result) for file, name, result in found}


def written(folder, module):
    """A folder with all tests and the module of each page as it is wanted."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(module(name))
        (folder / f"test_{name}.py").write_text((EXERCISES / f"test_{name}.py").read_text())
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_blank_a_docstring_a_test_and_a_solution(name):
    blanks = functions((EXERCISES / f"{name}.py").read_text())
    for blank in blanks.values():
        assert ast.get_docstring(blank) and "..." in ast.unparse(blank), blank.name
    solved = {function for program in solutions(name) for function in functions(program)}
    assert blanks.keys() <= solved and len(blanks) >= 3
    asked = {test: ast.unparse(node) for test, node in answers_of(name).items()}
    for blank in blanks:
        assert any(test.startswith(f"test_{blank}") and blank in code for test, code in asked.items()), blank
    page = (ROOT / "book" / f"{name}.md").read_text()
    assert f"make exercise NAME={name}`" in page and page.count(f"<!-- from book/exercises/{name}.py -->") >= len(
        blanks
    )


@pytest.mark.slow
def test_every_solution_passes(tmp_path):
    def solved(name):
        return "\n".join([(EXERCISES / f"{name}.py").read_text(), *solutions(name)])

    results = run_tests(written(tmp_path, solved))
    assert {(f"test_{name}", test) for name in NAMES for test in answers_of(name)} == {row[:2] for row in results}
    assert not sorted(row for row in results if row[2] != "PASSED")


@pytest.mark.slow
def test_every_blank_fails(tmp_path):
    results = run_tests(written(tmp_path, lambda name: (EXERCISES / f"{name}.py").read_text()))
    assert {(f"test_{name}", test) for name in NAMES for test in answers_of(name)} == {row[:2] for row in results}
    assert not sorted(row for row in results if row[2] != "FAILED")


ALONE = """
import contextlib, io, json, sys
for i, program in enumerate(json.load(sys.stdin)):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, f"solution {i}", "exec"), {"__name__": "__main__"})
    assert said.getvalue().strip(), f"solution {i} prints nothing"
"""


@pytest.mark.slow
def test_every_solution_is_a_program_that_prints():
    programs = [program for name in NAMES for program in solutions(name)]
    assert len(programs) > 3 * len(NAMES) - 1
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=json.dumps(programs), cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
