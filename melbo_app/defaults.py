"""Default values of commands and programs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.suggestion import default_scope, default_vectors
from melbo_app.engine.training_config import CLIMBING, Method, TrainingConfig
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.library.label import Label
from melbo_app.studies.completing import variants
from melbo_app.workbench import Workbench


def check_texts(texts: Sequence[str] | None, remedy: str = "Give one") -> list[str]:
    """The texts of the prompts. Raises InputError without texts, and for empty ones."""
    if not texts:
        raise InputError("prompt", "none was given", remedy)
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise InputError("prompt", f"prompt {number} is empty", "Write a text for the model to answer")
    return list(texts)


def prompts_from(
    texts: Sequence[str] | None, system: str | None, template: bool | str | None, has_template: bool
) -> list[Prompt]:
    """Prompts with these texts, by default in the chat template if the model has one."""
    return [Prompt(text, system or None, has_template if template is None else template) for text in check_texts(texts)]


def own_prompts(bank: Bank, system: str | None, template: bool | str | None) -> list[Prompt]:
    """A bank's training prompts, with another system text ("": none) or template if given."""
    return [
        Prompt(
            entry.user,
            entry.system if system is None else system or None,
            entry.template if template is None else template,
        )
        for entry in bank.record.prompts
    ]


def chosen(bank: Bank, vectors: Sequence[int] | None, radii: Sequence[float] | None) -> tuple[list[int], Any]:
    """Vectors and R to steer with; by default all vectors, and R None: each vector at its own norm. Raises InputError
    for vectors that the bank does not have."""
    numbers = list(range(len(bank.vectors))) if vectors is None else list(vectors)
    norms = None if radii is None else list(radii)
    variants(bank, numbers, norms)
    return numbers, norms


@dataclass(frozen=True)
class OpenTraining:
    """The optional settings of a training; None: chosen by the loaded model and the prompts.

    ``relative_radius`` is R as a multiple of the median residual norm. Raises InputError if R is given twice.
    """

    source: int | None = None
    target: int | None = None
    radius: float | None = None
    relative_radius: float | None = None
    scope: str | None = None

    def __post_init__(self) -> None:
        relative = self.relative_radius
        if self.radius is not None and relative is not None:
            raise InputError("R", "it is given twice", "Give the radius or the relative radius, not both")
        if relative is not None and not (math.isfinite(relative) and relative > 0):
            raise InputError("relative R", f"must be greater than 0, not {relative}", "0.07 usually works")

    def draft(self, method: str, vectors: int | None, against: Sequence[str], **fixed: Any) -> TrainingConfig:
        """A configuration with placeholders for open settings, so that errors are found before the model is loaded.

        ``vectors`` defaults to 8, or as many as the method can find with the texts of ``against``.
        """
        return TrainingConfig(
            source=0 if self.source is None else self.source,
            target=(self.source or 0) + 1 if self.target is None else self.target,
            radius=1.0 if self.radius is None else self.radius,
            scope="all" if self.scope is None else self.scope,
            method=cast(Method, method),  # an unknown one is refused with the list of methods
            vectors=default_vectors(method, len(against)) if vectors is None else vectors,
            against=tuple(Prompt(text) for text in against),
            **fixed,
        )

    @property
    def layers_free(self) -> bool:
        """Whether a search may choose the layers, because neither is given."""
        return self.source is None and self.target is None

    def searches(self, draft: TrainingConfig) -> bool:
        """Whether to search for R, and for the effect budget unless it is given: if R is not given and the method
        climbs."""
        return draft.method in CLIMBING and self.radius is None and self.relative_radius is None

    def measured(self, draft: TrainingConfig) -> float | Literal["suggested"] | None:
        """R if it depends on the prompts: a multiple of their median norm, or "suggested"; None: given or searched."""
        if self.radius is not None or self.searches(draft):
            return None
        return "suggested" if self.relative_radius is None else self.relative_radius

    def fill(
        self, workbench: Workbench, draft: TrainingConfig, prompts: Sequence[Prompt], held_out: Sequence[str]
    ) -> TrainingConfig:
        """``draft`` with layers and scope that suit the model and the prompts. The prompts against and held out get the
        system text and template of the first prompt. R stays open if it depends on the prompts (``measured``)."""
        source, target = workbench.layers(self.source, self.target)
        return replace(
            draft,
            source=source,
            target=target,
            scope=default_scope(prompts) if self.scope is None else self.scope,
            against=tuple(replace(prompts[0], user=prompt.user) for prompt in draft.against),
            held_out=tuple(replace(prompts[0], user=text) for text in held_out),
        )


def save_label(
    workbench: Workbench,
    bank: str,
    vector: int,
    name: str | None,
    tags: Sequence[str] | None,
    rating: int | None,
    note: str | None,
    annotator: str = "",
) -> Label:
    """Save an annotator's label; None keeps a field as it is, and the rating 0 removes the rating."""
    before = workbench.own_label(bank, vector, annotator)
    return workbench.save_label(
        bank,
        vector,
        name=before.name if name is None else name,
        tags=before.tags if tags is None else tags,
        rating=before.rating if rating is None else rating or None,
        note=before.note if note is None else note,
        annotator=annotator,
    )
