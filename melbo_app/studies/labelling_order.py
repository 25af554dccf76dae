"""The order in which a bank's vectors are put before a person who labels them."""

from typing import Literal

import numpy as np

from melbo_app.analysis.order import ward_tree
from melbo_app.analysis.unlikeness import unlikeness
from melbo_app.errors import MelboError
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank

LabellingOrder = Literal["by number", "strongest first", "most unlike first", "alike together"]
ORDERS: tuple[LabellingOrder, ...] = ("by number", "strongest first", "most unlike first", "alike together")


def labelling_order(bench: Bench, bank: Bank, how: LabellingOrder) -> list[int]:
    """All vectors of a bank.

    "strongest first" goes by the strength that the method gives, or by the objective J. The last two compare one stored
    text of each vector, that of its evidence: by its distance from all others, or with similar texts next to each other
    (``analysis/order.py``). Vectors without what an order needs come last, by number.
    """
    numbers = list(range(len(bank.vectors)))
    if how == "strongest first":
        strength = bank.record.strength or bank.record.objective or [0.0] * len(numbers)
        return sorted(numbers, key=lambda vector: -strength[vector])
    if how == "by number":
        return numbers
    texts = bench.evidences.nearest(bank.hash, dict(enumerate(bank.norms)), bank.record.prompts)
    known = sorted(texts)
    try:
        rows = bench.embed([texts[vector].text for vector in known]) if known else np.zeros((0, 1))
    except MelboError:  # the embedder's weights are missing
        return numbers
    return [*_by_texts(known, rows, how), *(vector for vector in numbers if vector not in texts)]


def _by_texts(vectors: list[int], rows: np.ndarray, how: LabellingOrder) -> list[int]:
    if how == "alike together":
        return [vectors[place] for place in ward_tree(rows @ rows.T).order] if vectors else []
    far = unlikeness(rows, vectors, [0] * len(vectors)) if vectors else {}
    return sorted(vectors, key=lambda vector: -far[vector])
