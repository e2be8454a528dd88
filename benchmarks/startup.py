"""Seconds until a recipe answers `--help` and a bad flag: median of five processes each.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

RECIPES = Path(__file__).parent.parent / "recipes"


def seconds(*command):
    """Wall-clock time of a process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], capture_output=True)
    return time.perf_counter() - start


for recipe in sorted(RECIPES.glob("[a-z]*.py")):
    for flag in ("--help", "--episode=3"):
        times = [seconds(recipe, flag) for _ in range(5)]
        print(f"{recipe.name} {flag}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
    times = [
        seconds("-c", f"import sys; sys.path.insert(0, {str(RECIPES.parent)!r}); import recipes.{recipe.stem}")
        for _ in range(5)
    ]
    print(f"import recipes.{recipe.stem}: {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
