"""Finds: what was looked for, and the vectors that show it; one JSON file each."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Count, Digest, Index, ModelName, Moment, Name, Norm, Number, Share, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class Candidate(Frozen):
    """A vector at an R that was read to the end of a search."""

    vector: Index
    radius: Norm
    score: FiniteFloat
    """Mean over its texts."""
    texts: tuple[Text, ...]
    """By prompt; of each, the greedy text first."""
    held_out: FiniteFloat | None = None
    """Mean over the prompts that were kept out; None without them."""
    held_out_texts: tuple[Text, ...] = ()


class Find(Measured):
    """One search. ``candidates`` are the survivors, best first; ``random`` are those of as many random vectors that
    were searched in the same way."""

    model: ModelName
    dtype: Word
    score: Text
    """What was looked for, as kind and text."""
    prompts: Annotated[tuple[PromptRecord, ...], Field(min_length=1)]
    held_out: tuple[PromptRecord, ...] = ()
    bank: Name
    bank_hash: Digest
    comparison: Number
    """The greedy texts of the survivors; negative while it waits to be stored."""
    vectors: Count
    radii: tuple[Norm, ...]
    samples: Count
    """Texts of each prompt."""
    max_new_tokens: Count
    seed: Count
    baseline: FiniteFloat
    """The score of the unsteered texts."""
    baseline_texts: tuple[Text, ...]
    held_out_baseline: FiniteFloat | None = None
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    random: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    share: Share
    """Tokens that the search took, as a share of reading every vector at every R whole."""
    problem: Text = ""
    """Why the search ended early; empty: it did not."""
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    created: Moment

    @property
    def key(self) -> str:
        """Identifies the search: a later one with the same settings replaces it."""
        asked = [[one.model_dump() for one in some] for some in (self.prompts, self.held_out)]
        how = [list(self.radii), self.vectors, self.samples, self.max_new_tokens, self.seed]
        return key_of([self.model_hash, self.dtype, self.bank_hash, self.score, asked, how])

    @property
    def best(self) -> Candidate:
        """The winner."""
        return self.candidates[0]

    @property
    def reached(self) -> int:
        """How many of the random survivors score as high as the winner."""
        return sum(one.score >= self.best.score for one in self.random)

    @property
    def sentence(self) -> str:
        """The result for people."""
        best, random = self.best, self.random[0]
        found = (
            f"Vector {best.vector} at R = {best.radius:.4g} scores {best.score:.2f} (without steering "
            f"{self.baseline:.2f}; the best random vector {random.score:.2f}, and {self.reached} of {len(self.random)} "
            "that were read whole reach the winner)."
        )
        if best.held_out is not None and random.held_out is not None:
            found += (
                f" On prompts that were kept out: {best.held_out:.2f} (without steering "
                f"{self.held_out_baseline or 0:.2f}; the best random vector {random.held_out:.2f})."
            )
        return f"{found} {self.problem}".strip()


class Finds(JsonFiles[Find]):
    """The searches on disk."""

    kind, noun = Find, "find"
