"""A series: the stored texts that differ from a comparison's in R alone."""

from collections.abc import Sequence

from sqlalchemy import Select, and_, func, or_, select

from melbo_app.library.completion import Completion
from melbo_app.library.sources import prompt_digest
from melbo_app.library.tables import CompletionRow, ModelRow, PromptRow


def series(completions: Sequence[Completion]) -> Select[CompletionRow] | None:
    """The newest whole text of each vector, and of the random control, at every R that is stored for the same vectors,
    prompts, decoding, model and dtype; None if no vector of a bank wrote any of these."""
    row, one = CompletionRow, next((one for one in completions if isinstance(one.vector, int)), None)
    if one is None:
        return None
    vectors = {other.vector for other in completions if isinstance(other.vector, int)}
    prompts = {prompt_digest(other.prompt) for other in completions}
    # A random control is of no bank: it is taken from the comparisons with a text of this one.
    beside = select(row.comparison_id).where(row.bank_hash == one.bank_hash)
    of_bank = and_(row.bank_hash == one.bank_hash, row.vector.in_(vectors))
    newest = (
        select(func.max(row.id))
        .where(
            row.comparison_id.in_(beside),
            or_(of_bank, and_(row.kind == "random", row.source == one.source)),
            row.prompt_id.in_(select(PromptRow.id).where(PromptRow.hash.in_(prompts))),
            row.model_id.in_(select(ModelRow.id).where(ModelRow.hash == one.model_hash)),
            row.dtype.is_not_distinct_from(one.dtype),
            row.max_new_tokens == one.max_new_tokens,
            row.temperature == one.temperature,
            row.top_p == one.top_p,
            row.seed == one.seed,
            or_(row.finished, row.tokens >= row.max_new_tokens),
        )
        .group_by(row.prompt_id, row.kind, row.vector, row.radius)
    )
    return select(row).where(row.id.in_(newest)).order_by(row.radius, row.id)


def others(completions: Sequence[Completion], found: Sequence[Completion]) -> list[Completion]:
    """Those ``found`` that are not among ``completions``, numbered by the prompts of these."""
    places = {prompt_digest(one.prompt): one.prompt_index for one in reversed(completions)}
    shown = {(one.prompt_index, one.vector, one.radius) for one in completions}
    placed = [one.model_copy(update={"prompt_index": places[prompt_digest(one.prompt)]}) for one in found]
    return [one for one in placed if (one.prompt_index, one.vector, one.radius) not in shown]
