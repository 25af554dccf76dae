"""``python -m benchmarks.report``: seconds and megabytes of a report of 32 vectors at 8 R, on made-up texts."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.made_up_texts import fill
from melbo_app.jobs.generators import result_of
from melbo_app.settings import Settings
from melbo_app.studies.report import MakeReport
from melbo_app.workbench import Workbench

BANK, VECTORS, RADII = "32 by 8", 32, [4, 6, 8, 10, 12, 15, 18, 22]
ROUNDS = 5


def main() -> None:
    """Measure and print a table."""
    seconds, processor, size = measure()
    print(f"load {os.getloadavg()[0]:.1f}\n\n| report of {BANK} | figure | goal |\n|---|---|---|")
    later = (
        f"{statistics.median(seconds[1:]):.1f} s (at most {max(seconds[1:]):.1f}; {processor:.1f} s of the processor)"
    )
    print(f"| with the model loaded | {later}; the first, which embeds the texts, {seconds[0]:.1f} s | ≤ 5 s |")
    print(f"| size | {size / 1e6:.1f} MB | < 10 MB |")


def measure() -> tuple[list[float], float, int]:
    """Seconds of each report, from the request to the file; seconds of the processor of the later ones, which other
    programs do not affect; and the size of the last."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        (cache / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        fill(cache, VECTORS, RADII, BANK)
        bench = Workbench(Settings(cache_dir=cache, database_url=None))
        for vector in range(VECTORS):
            bench.save_label(BANK, vector, name=f"label {vector}", tags=[f"tag {vector % 4}"], rating=vector % 5 + 1)
        bench.load_model()
        bench.warm_up_map()  # as a server does
        seconds, used = list[float](), list[float]()
        for number in range(1 + ROUNDS):
            out = cache / f"{number}.html"
            start, before = time.perf_counter(), time.process_time()
            found = result_of(bench.run(MakeReport(bank=BANK)))
            bench.export_report(found, out)
            seconds.append(time.perf_counter() - start)
            used.append(time.process_time() - before)
            assert not found.left_out, found.left_out
        return seconds, statistics.median(used[1:]), out.stat().st_size


if __name__ == "__main__":
    main()
