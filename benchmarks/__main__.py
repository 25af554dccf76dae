"""``make bench``: measures the figures of docs/speed.md and prints them as a table."""

import os
import platform

import torch

from benchmarks import clicks, generation, neighbour, page, people, sharing, training
from melbo_app.engine.model import LanguageModel, choose_dtype, load
from melbo_app.engine.packing import pack
from melbo_app.library.weights import DEFAULT_MODEL, resolve
from melbo_app.settings import Settings

ROUNDS = 3
COUNTS = (32, 128, 512)


def main() -> None:
    """Measure everything; print each row as soon as it is known."""
    files = resolve(DEFAULT_MODEL, Settings().cache_dir)
    automatic = str(choose_dtype("auto", torch.device("cpu"))).removeprefix("torch.")

    def model(dtype: str) -> LanguageModel:
        return load(files.path, files.name, files.weights_hash or "", "cpu", dtype)

    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, torch {torch.__version__}\n")
    print("| what | figure |\n|---|---|")
    models = {dtype: model(dtype) for dtype in dict.fromkeys(["float32", automatic])}
    for lm in models.values():  # as the server does; the model of the published loop stays unpacked
        pack(lm.model)
    for row in training.measure(model("float32"), models, ROUNDS):
        spread = f" ({row['low']:.1f} to {row['high']:.1f})" if row["ratio"] != 1 else ""
        print(
            f"| training, {training.VECTORS} vectors, {row['dtype']} | {row['ratio']:.1f} × the published "
            f"loop{spread}, {row['ms']:.1f} ms a vector and step |",
            flush=True,
        )
    for dtype, lm in models.items():
        ours, plain = training.share_of_products(lm, ROUNDS)
        print(
            f"| share of the matrix product rate, {dtype} | {100 * ours / plain:.0f} % of {plain / 1e9:,.0f} GFLOP/s |",
            flush=True,
        )
    each = training.per_vector(models[automatic], COUNTS, 1)
    listed = ", ".join(f"{ms:.1f} ms ({count})" for count, ms in each.items())
    print(f"| a vector and step by the number of vectors, {automatic} | {listed} |", flush=True)
    found = training.time_to_published(model("float32"), models[automatic])
    print(
        f"| J of the published loop's 300 steps ({found['goal']:.3g}; here {found['reached']:.3g}) | "
        f"{found['published']:.1f} s for a vector, {found['ours']:.3f} s here: "
        f"{found['published'] / found['ours']:,.0f} × |",
        flush=True,
    )
    found = generation.measure(models[automatic], ROUNDS)
    print(
        f"| {generation.VECTORS} vectors in one batch, {automatic} | {found['single_over_batch']:.1f} × one at a time; "
        f"{100 * (found['steered_over_unsteered'] - 1):+.1f} % time against the batch unsteered; "
        f"{found['tokens_per_second']:.0f} tokens a second |\n"
        f"| tokens a second of {2 * generation.VECTORS} rows against the batch unsteered | "
        f"{100 * found['many_rate']:.0f} % |",
        flush=True,
    )
    models.clear()
    found = sharing.measure(ROUNDS)
    print(
        f"| eight people steering at once, each with their own prompt and vector ({100 * found['same']:.0f} % of the "
        f"texts as one after another) | {found['ratio']:.1f} × one after another ({found['low']:.1f} to "
        f"{found['high']:.1f}; goal: 2 or more) |\n"
        f"| first token of the first, the middle and the last of them, and of one person alone | "
        f"{found['first']:.1f} s, {found['middle']:.1f} s, {found['last']:.1f} s; {found['alone']:.1f} s |",
        flush=True,
    )
    for found in people.measure(ROUNDS):
        (middle, low, high), (typical, most, alone) = found["ratio"], found["first"]
        print(
            f"| {people.USERS} people steering at once, prompts {found['name']}: tokens a second | "
            f"{middle:.1f} × one person's ({low:.1f} to {high:.1f}), {found['processor'][0]:.1f} × by processor time; "
            f"first tokens after {typical:.1f} s, the last {most:.1f} s, alone {alone:.1f} s |",
            flush=True,
        )
    beside = neighbour.measure()
    listed = ", ".join(f"{way} {two['beside'] / two['alone']:.1f} ×" for way, two in beside.items())
    ours, fastest = beside["as here"]["beside"], min(two["beside"] for two in beside.values())
    print(
        f"| time of a training beside a program that keeps one core busy, relative to alone | {listed}; there, the "
        f"default takes {ours / fastest:.2f} × as long as the fastest |",
        flush=True,
    )
    found = page.measure()
    print(f"| page reachable after `python app.py` | {found['reachable']:.1f} s |")
    print(f"| first steered completion after that | {found['first_completion']:.1f} s |")
    print(f"| resident memory then | {found['resident_gb']:.2f} GB |")
    for name, figure, goal in clicks.measure():
        print(f"| {name} | {figure} (goal: {goal}) |", flush=True)


if __name__ == "__main__":
    main()
