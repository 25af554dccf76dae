"""A bank made from others by a formula."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from melbo_app import __version__
from melbo_app.engine.recipe import evaluate
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, BankRecord
from melbo_app.library.bank_vectors import check_vectors


def combine(formula: str, name: str, load: Callable[[str], Bank], note: str | None = None) -> Bank:
    """The bank that ``formula`` describes; its record holds the formula, the banks' hashes and a ``note``.

    All banks must be for the same weights and source layer: vectors of others are not added, they mean other things.
    Its prompts are those of all of them.

    Raises:
        InputError: a formula that cannot be read or gives vectors that no bank can hold, or banks that do not fit
            together.
    """
    used: dict[str, Bank] = {}

    def rows_of(bank_name: str) -> np.ndarray:
        bank = used.setdefault(bank_name, load(bank_name))
        first = next(iter(used.values())).record
        for what, one, other in (
            ("weights", first.model_hash, bank.record.model_hash),
            ("hidden size", first.hidden_size, bank.record.hidden_size),
            ("source layer", first.source, bank.record.source),
        ):
            if one != other:
                problem = f"“{first.name}” and “{bank.record.name}” differ in their {what} ({one} and {other})"
                raise InputError("formula", problem, "Combine banks of one model and one source layer")
        return bank.vectors

    rows = evaluate(formula, rows_of)
    try:
        vectors = check_vectors(rows)
    except InputError as error:
        raise InputError("formula", f"no bank can hold its result: {error.problem}", error.remedy) from error
    if not used:
        raise InputError("formula", "it has no bank in it", "Name one, such as 'weekend'[0]")
    first = next(iter(used.values())).record
    targets = {bank.record.target for bank in used.values()}
    record = BankRecord(
        name=name,
        model=first.model,
        model_hash=first.model_hash,
        hidden_size=first.hidden_size,
        blocks=first.blocks,
        source=first.source,
        target=targets.pop() if len(targets) == 1 else None,
        radius=float(f"{np.median(np.linalg.norm(vectors.astype(np.float64), axis=1)):.6g}"),
        median_norm=first.median_norm,
        method="combined",
        prompts=list(dict.fromkeys(prompt for bank in used.values() for prompt in bank.record.prompts)),
        tokenizer=first.tokenizer,
        template_hash=first.template_hash,
        versions={"melbo_app": __version__},
        created=datetime.now(UTC),
        formula=formula.strip(),
        parts={bank_name: bank.hash for bank_name, bank in used.items()},
        note=note,
        stopped=None if note is None else False,  # else a note says that a training was stopped
    )
    return Bank(record, vectors)
