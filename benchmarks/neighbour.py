"""Training beside a program that keeps one core busy: its speed depends on how threads wait for each other."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from melbo_app.library.weights import DEFAULT_MODEL, resolve
from melbo_app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
BUSY = [sys.executable, "-c", "while True: pass"]
VECTORS, STEPS, ROUNDS = 16, 2, 3
WAYS = {"as here": {}, "spinning": {"OMP_WAIT_POLICY": "ACTIVE"}, "one thread": {"OMP_NUM_THREADS": "1"}}
"""Environment variables set before torch is imported; the first is the default."""


def measure() -> dict[str, dict[str, float]]:
    """Seconds of the same steps, alone and beside a busy program, for each way of waiting."""
    return {name: _in_a_process(variables) for name, variables in WAYS.items()}


def _in_a_process(variables: dict[str, str]) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.neighbour"],
        cwd=ROOT, env=environment | variables, stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip
    return json.loads(told)


def main() -> None:
    """Measure one way, with this process's environment."""
    from benchmarks import training
    from melbo_app.engine.model import load

    files = resolve(DEFAULT_MODEL, Settings().cache_dir)
    steps = training.steps(load(files.path, files.name, files.weights_hash or "", "cpu", "auto"), VECTORS, STEPS)
    steps()
    seconds: dict[str, list[float]] = {"alone": [], "beside": []}
    for _ in range(ROUNDS):
        for name, taken in seconds.items():
            other = subprocess.Popen(BUSY) if name == "beside" else None
            try:
                start = time.perf_counter()
                steps()
                taken.append(time.perf_counter() - start)
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
    print(json.dumps({name: sorted(taken)[ROUNDS // 2] for name, taken in seconds.items()}))


if __name__ == "__main__":
    main()
