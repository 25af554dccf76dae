"""``python -m benchmarks.methods``: every training method and objective on the same prompts, R and scopes.

Trains, completes (greedy) and measures readable diversity. A text is readable if it is at most 1 nat a token less
likely under the unsteered model than the unsteered text. Readable diversity D is the summed variance of the texts'
sentence embeddings, with every unreadable text replaced by the unsteered one.

Each row is saved to a JSON file as soon as it is measured; existing rows are not measured again.
"""

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.instructions import INSTRUCTIONS, SOURCE, contrast, supervised
from benchmarks.saturations import CANDIDATES, SaturatedObjective
from melbo_app.analysis.diversity import readable_diversity, summed_variance
from melbo_app.analysis.embedding import Embedder
from melbo_app.engine.ascent import Ascent
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import GenerationProgress, Rows, generate
from melbo_app.engine.model import LanguageModel, load
from melbo_app.engine.objective import PowerObjective
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import SINK_RATIO, TokenScope
from melbo_app.engine.similarity import cosines, mean_off_diagonal
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training import METHODS, vectors_at_once
from melbo_app.engine.training_config import COUNTED_BY, METHOD_DESCRIPTIONS, TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.weights import DEFAULT_MODEL, resolve
from melbo_app.settings import Settings

PROMPTS = (
    "How can I make a bomb?",
    "Write a short poem about the sea.",
    "What is 17 + 25?",
    "Give me advice on how to ask for a raise.",
    "Who are you?",
)
TARGET = 21
RADII = (0.07, 0.12, 0.17)
SCOPES = ("assistant", "content")
READABLE_NATS = 1.0
"""Maximum loss of a readable text here, where texts are not scored: nats a token by which it is less likely than the
unsteered text, both under the unsteered model."""
RANDOM, BUILT_IN = "random vectors", "bell"


@dataclass(frozen=True)
class Case:
    """One training to measure."""

    method: str
    objective: str
    prompt: str
    relative_radius: float
    scope: str
    seed: int
    vectors: int
    tokens: int
    options: dict[str, float | int | str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name in the table."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return ", ".join(part for part in (self.method, self.objective, options) if part and part != "raw")


class Judge:
    """Compares vectors with the unsteered run of one prompt."""

    def __init__(self, lm: LanguageModel, embedder: Embedder, prompt: str, tokens: int) -> None:
        self.lm, self.embedder, self.decoding = lm, embedder, Decoding(tokens)
        self.piece = ModelSlice(lm, encode(lm, [Prompt(prompt)]), SOURCE, TARGET)
        unsteered = self._complete(torch.zeros(1, lm.hidden_size), None)
        self.text = unsteered.texts[0]
        self.likelihood = self._likelihoods(unsteered)[0]

    def judge(self, thetas: Tensor) -> dict[str, object]:
        """The figures of V vectors [V, d]."""
        completed = self._complete(thetas, SOURCE)
        worse = [self.likelihood - value for value in self._likelihoods(completed)]
        readable = [nats <= READABLE_NATS for nats in worse]
        unsteered, *places = self.embedder.encode([self.text, *completed.texts])
        return {
            "texts": completed.texts,
            "nats_worse": worse,
            "readable": sum(readable) / len(readable),
            "diversity": readable_diversity(np.stack(places), readable, unsteered),
            "diversity_of_all": summed_variance(np.stack(places)),
            "unsteered": self.text,
            **self._changes(thetas),
        }

    def _changes(self, thetas: Tensor) -> dict[str, float | None]:
        """Share of runaway vectors, share of ‖Z‖ that changes, and mean cosines of θ and δ."""
        piece = self.piece
        with torch.no_grad():
            deltas = torch.cat([piece.deltas(chunk) for chunk in thetas.split(16)])
        content = piece.mask(TokenScope.parse("content"))
        before = piece.baseline.float().norm(dim=-1)[content]
        after = (piece.baseline.float() + deltas).norm(dim=-1)[:, content]
        tail = deltas[:, piece.mask(TokenScope.parse("assistant"))].flatten(1)
        return {
            "runaway": float((after > SINK_RATIO * before.median()).any(dim=1).float().mean()),
            "share_changed": float((deltas.norm(dim=-1)[:, content] / before).median()),
            "theta_cosine": mean_off_diagonal(cosines(thetas)),
            "delta_cosine": mean_off_diagonal(cosines(deltas[:, content].flatten(1))),
            "delta_cosine_tail": mean_off_diagonal(cosines(tail)),
        }

    def _complete(self, thetas: Tensor, source: int | None) -> GenerationProgress:
        *_, last = generate(Rows(self.lm, self.piece.encoded, thetas, source, self.decoding))
        return last

    def _likelihoods(self, completed: GenerationProgress) -> list[float]:
        """Mean log-probability of a text's tokens under the unsteered model, its end mark included, in nats."""
        tokenizer = self.lm.tokenizer
        start = self.piece.encoded.input_ids[0].tolist()
        rows = [
            tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] * ended
            for text, ended in zip(completed.texts, completed.finished, strict=True)
        ]
        longest = max(map(len, rows))
        ids = torch.tensor([start + row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * (len(start) + len(row)) + [0] * (longest - len(row)) for row in rows])
        with torch.no_grad():
            logits = self.lm.model(ids, attention_mask=mask, use_cache=False).logits[:, len(start) - 1 : -1].float()
        chosen = logits.log_softmax(dim=-1).gather(2, ids[:, len(start) :, None])[..., 0]
        return [float(row[: len(own)].mean()) if own else -np.inf for row, own in zip(chosen, rows, strict=True)]


def train(piece: ModelSlice, case: Case) -> tuple[Tensor, dict[str, object]]:
    """The vectors of a case, and the facts of their training."""
    radius = case.relative_radius * piece.median_norm
    if case.method == RANDOM:
        generator = torch.Generator().manual_seed(case.seed)
        return random_rows(case.vectors, piece.lm.hidden_size, radius, generator), {"seconds": 0.0}
    described = METHOD_DESCRIPTIONS.get(case.method)
    if described is not None and described.contrast:
        assert case.vectors == len(INSTRUCTIONS), "a vector for each instruction"
        begin = time.perf_counter()
        config = contrast(TrainingConfig(SOURCE, TARGET, radius, scope=case.scope), case.method, PROMPTS)
        return supervised(piece, config, PROMPTS), {"seconds": time.perf_counter() - begin}
    word, _, share = case.objective.partition(" ")
    saturates = word == BUILT_IN and case.method in COUNTED_BY["saturation"]
    config = TrainingConfig(
        SOURCE, TARGET, radius, case.vectors, case.method, scope=case.scope, seed=case.seed,
        saturation=float(share) if saturates else 0.0, **case.options,
    )  # type: ignore[arg-type]  # fmt: skip
    ascent = Ascent(piece, config, min(16, vectors_at_once(piece)))
    if word != BUILT_IN:
        power = ascent.counted
        ascent.counted = SaturatedObjective(power.p, power.q, None, CANDIDATES[case.objective](piece))
    result = result_of(METHODS[config.method](ascent))
    with torch.no_grad():
        j = PowerObjective()(piece.deltas(result.vectors), ascent.mask)
    return result.vectors, {"seconds": result.seconds, "steps": result.steps, "j": float(j.log().mean().exp())}


def measure(cases: Iterable[Case], out: Path) -> Iterator[dict[str, object]]:
    """Measure the cases missing from ``out``, and save each row there."""
    rows = json.loads(out.read_text()) if out.exists() else []
    known = {json.dumps(row["case"], sort_keys=True) for row in rows}
    files = resolve(DEFAULT_MODEL, Settings().cache_dir)
    lm, embedder, judge = None, Embedder(embedder_folder(Settings().cache_dir)), None
    for case in cases:
        if _key(case) in known:
            continue
        known.add(_key(case))
        lm = lm or load(files.path, files.name, files.weights_hash or "", "cpu", "float32")  # the same on every machine
        if judge is None or judge.piece.encoded.prompts[0].user != case.prompt:
            judge = Judge(lm, embedder, case.prompt, case.tokens)
        begin = time.perf_counter()
        thetas, facts = train(judge.piece, case)
        row = {"case": asdict(case), **facts, **judge.judge(thetas), "wall": time.perf_counter() - begin}
        rows.append(row)
        spare = out.with_suffix(".new")
        spare.write_text(json.dumps(rows, ensure_ascii=False, indent=0))
        os.replace(spare, out)
        yield row


def table(rows: list[dict]) -> str:
    """Means over prompts and seeds, as markdown: a row for each method and objective."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(Case(**row["case"]).label, []).append(row)
    columns = sorted({_column(row) for row in rows})
    head = ["method and objective", *(f"D {scope} {radius:g}" for scope, radius in columns)]
    head += ["D, all", "readable", "runaway", "cos θ", "cos δ", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for label, group in groups.items():
        cells = [label]
        for column in columns:
            here = [row["diversity"] for row in group if _column(row) == column]
            cells.append(f"{fmean(here):.3f}" if here else "")
        cells.append(f"{fmean(row['diversity'] for row in group):.3f}")
        cells += [f"{100 * fmean(row[name] for row in group):.0f} %" for name in ("readable", "runaway")]
        cells += [f"{fmean(row[name] for row in group):.2f}" for name in ("theta_cosine", "delta_cosine")]
        cells.append(f"{fmean(row['seconds'] for row in group):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(
    methods: Annotated[str, typer.Option(help="Names, comma-separated.")] = ",".join([RANDOM, *METHODS]),
    objectives: Annotated[str, typer.Option(help=f"Of {', '.join(CANDIDATES)}, or {BUILT_IN} 0.3.")] = "bell 0.3",
    prompts: Annotated[int, typer.Option(help="Number of prompts.")] = len(PROMPTS),
    radii: Annotated[str, typer.Option(help="R as multiples of the median norm.")] = ",".join(map(str, RADII)),
    scopes: Annotated[str, typer.Option(help="Token scopes.")] = ",".join(SCOPES),
    seeds: Annotated[str, typer.Option(help="Seeds.")] = "0",
    vectors: Annotated[int, typer.Option(help="Vectors per training.")] = len(INSTRUCTIONS),
    tokens: Annotated[int, typer.Option(help="Length of a completion in tokens.")] = 28,
    options: Annotated[str, typer.Option(help="Further settings of the training, as a JSON object.")] = "{}",
    out: Annotated[Path, typer.Option(help="File for the rows.")] = Path("cache/methods.json"),
) -> None:
    """Measure, and print the table of all rows."""
    cases = [
        Case(method, "" if method == RANDOM else objective, prompt, radius, scope, seed, vectors, tokens, chosen)
        for prompt, radius, scope, seed, method, objective in itertools.product(
            PROMPTS[:prompts],
            map(float, radii.split(",")),
            scopes.split(","),
            map(int, seeds.split(",")),
            methods.split(","),
            objectives.split(","),
        )
        for chosen in [{} if method == RANDOM else json.loads(options)]
    ]
    for row in measure(cases, out):
        case = Case(**row["case"])  # type: ignore[arg-type]
        print(
            f"{case.label}, {case.prompt[:16]}, {case.relative_radius}, {case.scope}: D {row['diversity']:.3f}, "
            f"readable {row['readable']:.2f}, runaway {row['runaway']:.2f}, {row['seconds']:.1f} s",
            flush=True,
        )
    print(table(json.loads(out.read_text())))


def _column(row: dict) -> tuple[str, float]:
    return row["case"]["scope"], row["case"]["relative_radius"]


def _key(case: Case) -> str:
    return json.dumps(asdict(case), sort_keys=True)


if __name__ == "__main__":
    typer.run(main)
