"""A series: the stored texts that differ from a comparison's in R alone, or in their seed alone."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from melbo_app.library.completion import Completion
from melbo_app.library.sources import prompt_digest
from melbo_app.library.tables import CompletionRow, ModelRow, PromptRow


def series(completions: Sequence[Completion]) -> Select[CompletionRow] | None:
    """The newest whole text of each vector, and of the random control, at every R that is stored for the same vectors,
    prompts, decoding, model and dtype; None if no vector of a bank wrote any of these."""
    one = next((one for one in completions if isinstance(one.vector, int)), None)
    if one is None:
        return None
    row = CompletionRow
    steered = or_(_of_bank(one, completions), and_(row.kind == "random", row.source == one.source))
    newest = _newest(one, completions, steered, row.seed == one.seed)
    return select(row).where(row.id.in_(newest)).order_by(row.radius, row.id)


def sampled(completions: Sequence[Completion]) -> Select[CompletionRow] | None:
    """The same for every other seed, at the R of these, with the unsteered texts; None for greedy texts."""
    one = next((one for one in completions if isinstance(one.vector, int)), None)
    if one is None or not one.temperature:
        return None
    row = CompletionRow
    radii = {other.radius for other in completions}
    beside = or_(_of_bank(one, completions), row.kind != "vector")
    newest = _newest(one, completions, beside, row.seed != one.seed, row.radius.in_(radii))
    return select(row).where(row.id.in_(newest)).order_by(row.seed, row.id)


def _of_bank(one: Completion, completions: Sequence[Completion]) -> ColumnElement[bool]:
    vectors = {other.vector for other in completions if isinstance(other.vector, int)}
    return and_(CompletionRow.bank_hash == one.bank_hash, CompletionRow.vector.in_(vectors))


def _newest(one: Completion, completions: Sequence[Completion], *also: ColumnElement[bool]) -> Select[int]:
    """The newest of the whole texts that ``also`` selects and that share prompts, decoding, model and dtype."""
    row, prompts = CompletionRow, {prompt_digest(other.prompt) for other in completions}
    # Random controls and unsteered texts are of no bank: they are taken from the comparisons with a text of this one.
    beside = select(row.comparison_id).where(row.bank_hash == one.bank_hash)
    return (
        select(func.max(row.id))
        .where(
            row.comparison_id.in_(beside),
            row.prompt_id.in_(select(PromptRow.id).where(PromptRow.hash.in_(prompts))),
            row.model_id.in_(select(ModelRow.id).where(ModelRow.hash == one.model_hash)),
            row.dtype.is_not_distinct_from(one.dtype),
            row.max_new_tokens == one.max_new_tokens,
            row.temperature == one.temperature,
            row.top_p == one.top_p,
            or_(row.finished, row.tokens >= row.max_new_tokens),
            *also,
        )
        .group_by(row.prompt_id, row.kind, row.vector, row.radius, row.seed)
    )


def others(completions: Sequence[Completion], found: Sequence[Completion]) -> list[Completion]:
    """Those ``found`` that are not among ``completions``, numbered by the prompts of these."""
    places = {prompt_digest(one.prompt): one.prompt_index for one in reversed(completions)}
    shown = {(one.prompt_index, one.vector, one.radius, one.seed) for one in completions}
    placed = [one.model_copy(update={"prompt_index": places[prompt_digest(one.prompt)]}) for one in found]
    return [one for one in placed if (one.prompt_index, one.vector, one.radius, one.seed) not in shown]
