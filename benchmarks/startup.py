"""Seconds until a recipe answers `--help` and a bad flag: median of five processes each.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RECIPES = Path(__file__).parent.parent / "recipes"


def seconds(*command, code=0):
    """Wall-clock time of a process, which must end with `code`."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True)
    assert done.returncode == code, done
    return time.perf_counter() - start


for recipe in sorted(RECIPES.glob("[a-z]*.py")):
    load = f"import sys; sys.path.insert(0, {str(RECIPES.parent)!r}); import recipes.{recipe.stem}"
    for name, command, code in [
        ("--help", (recipe, "--help"), 0),
        ("an unknown flag", (recipe, "--episode=3"), 2),
        ("import", ("-c", load), 0),
    ]:
        times = [seconds(*command, code=code) for _ in range(5)]
        print(f"{recipe.stem}, {name}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
