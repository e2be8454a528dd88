"""Rows per second that the sum tree of common/replay.py draws and sets, at several batch sizes; median of rounds.

python benchmarks/sum_tree.py [--capacity=1000000] [--rounds=5]
"""

import time

import fire
import numpy as np

from common.machine import processor
from common.replay import SumTree


def rows_per_second(call, batch_size, rounds, seconds=0.5):
    """Median over rounds of `seconds` each."""
    speeds = []
    for _ in range(rounds):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            call()
            calls += 1
        speeds.append(calls * batch_size / elapsed)
    return np.median(speeds)


def measure(capacity=1_000_000, rounds=5):
    """Print one line per batch size."""
    rng = np.random.default_rng(0)
    tree = SumTree(capacity)
    tree.set(np.arange(capacity), rng.random(capacity))
    print(processor())
    for batch_size in (32, 64, 256, 1024):
        rows, priorities = tree.sample(batch_size, rng), rng.random(batch_size)
        draws = rows_per_second(lambda size=batch_size: tree.sample(size, rng), batch_size, rounds)
        sets = rows_per_second(lambda rows=rows, p=priorities: tree.set(rows, p), batch_size, rounds)
        print(f"batches of {batch_size}: {draws:,.0f} rows drawn per second, {sets:,.0f} set; {capacity:,} rows")


if __name__ == "__main__":
    fire.Fire(measure)
