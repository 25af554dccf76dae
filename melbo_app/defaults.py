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
from melbo_app.library.labels import Label
from melbo_app.studies.completing import variants
from melbo_app.workbench import Workbench

Norms = list[float] | None
"""R of a steering, one or several; None: each vector has the norm that it has in its bank."""


def check_texts(texts: Sequence[str] | None, remedy: str = "Give one") -> list[str]:
    """The texts of the prompts. Raises InputError where there is none, or an empty one."""
    if not texts:
        raise InputError("prompt", "there is none", remedy)
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise InputError("prompt", f"prompt {number} is empty", "Write a text for the model to answer")
    return list(texts)


def prompts_from(
    texts: Sequence[str] | None, system: str | None, template: bool | str | None, has_template: bool
) -> list[Prompt]:
    """Prompts of these texts, in the chat template where the model has one."""
    return [Prompt(text, system or None, has_template if template is None else template) for text in check_texts(texts)]


def own_prompts(bank: Bank, system: str | None, template: bool | str | None) -> list[Prompt]:
    """What a bank was trained on, with another system text ("": none) or template where one is given."""
    return [
        Prompt(
            entry.user,
            entry.system if system is None else system or None,
            entry.template if template is None else template,
        )
        for entry in bank.record.prompts
    ]


def chosen(bank: Bank, vectors: Sequence[int] | None, radii: Sequence[float] | None) -> tuple[list[int], Norms]:
    """Vectors and R of a steering: all vectors, as they are. Raises InputError for what the bank does not have."""
    numbers = list(range(len(bank.vectors))) if vectors is None else list(vectors)
    norms = None if radii is None else list(radii)
    variants(bank, numbers, norms)
    return numbers, norms


@dataclass(frozen=True)
class OpenTraining:
    """What of a training may be left open: None follows from the loaded model and the prompts.

    ``relative_radius`` is R as a multiple of the median residual norm. Raises InputError for R given twice.
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
        """A configuration with something in every gap, so that what is wrong without a model is refused without one.

        Without a number of ``vectors`` it is 8, or as many as the method can find with the texts of ``against``.
        """
        return TrainingConfig(
            source=0 if self.source is None else self.source,
            target=(self.source or 0) + 1 if self.target is None else self.target,
            radius=1.0 if self.radius is None else self.radius,
            scope="all" if self.scope is None else self.scope,
            method=cast(Method, method),  # an unknown one is refused with the names of those there are
            vectors=default_vectors(method, len(against)) if vectors is None else vectors,
            against=tuple(Prompt(text) for text in against),
            **fixed,
        )

    @property
    def layers_free(self) -> bool:
        """Whether a search may choose the layers: neither is given."""
        return self.source is None and self.target is None

    def searches(self, draft: TrainingConfig) -> bool:
        """Whether R, and the effect budget unless it is given, are to be found by looking: R is not given, and the
        method climbs."""
        return draft.method in CLIMBING and self.radius is None and self.relative_radius is None

    def measured(self, draft: TrainingConfig) -> float | Literal["suggested"] | None:
        """R where the prompts have to be read for it: a multiple of their median norm, or what is suggested for them;
        None: it is given, or searched."""
        if self.radius is not None or self.searches(draft):
            return None
        return "suggested" if self.relative_radius is None else self.relative_radius

    def fill(
        self, workbench: Workbench, draft: TrainingConfig, prompts: Sequence[Prompt], held_out: Sequence[str]
    ) -> TrainingConfig:
        """``draft`` with layers and scope that suit the model and the prompts; the prompts against and those held out
        get the system text and template of the first one. R is left to whoever reads the prompts (``measured``)."""
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
) -> Label:
    """Keep what is given of a label; what is None stays as it is, and the rating 0 takes it away."""
    before = workbench.label(bank, vector)
    return workbench.save_label(
        bank,
        vector,
        name=before.name if name is None else name,
        tags=before.tags if tags is None else tags,
        rating=before.rating if rating is None else rating or None,
        note=before.note if note is None else note,
    )
