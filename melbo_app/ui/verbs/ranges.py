"""The ranges of the arguments of verbs, by their names."""

from collections.abc import Mapping
from typing import Any

from melbo_app.engine.training_config import LEAST_RADIUS, LEAST_TEMPERATURE, MOST_RADIUS, MOST_VECTORS
from melbo_app.errors import InputError
from melbo_app.library.removal_behaviour import LEAST_PROMPTS
from melbo_app.limits import (
    LARGEST,
    MOST_CHARACTERS,
    MOST_ITEMS,
    MOST_LAYER,
    MOST_LISTED,
    MOST_NAME,
    MOST_NEW_TOKENS,
    MOST_PROMPTS,
    MOST_RADII,
    MOST_SAMPLES,
    MOST_STEPS,
    check_count,
    check_range,
    check_text,
    check_texts_together,
)
from melbo_app.studies.adapters import MOST_ADAPTERS
from melbo_app.studies.audit import MOST_BUDGET, MOST_ELSEWHERE
from melbo_app.studies.find import MOST_SAMPLES as MOST_FOUND_SAMPLES
from melbo_app.studies.find import MOST_VECTORS as MOST_FOUND
from melbo_app.studies.generality import LEAST_RANDOM, MOST_RANDOM
from melbo_app.studies.harden import RANGES as HARDEN
from melbo_app.studies.parts import LEAST_KEEP, MOST_ANSWER, MOST_EXACT, MOST_KEEP
from melbo_app.studies.removal import MOST_PROMPTS as MOST_TESTED
from melbo_app.studies.sampled_texts import LEAST_UNSEEN, MOST_UNSEEN
from melbo_app.studies.search_meaning import MOST_SECONDS
from melbo_app.studies.triggers import (
    LEAST_HELD_OUT,
    MOST_CANDIDATES,
    MOST_HELD_OUT,
    MOST_RESTARTS,
    MOST_SEARCH_STEPS,
    MOST_TOKENS,
)
from melbo_app.studies.usual_prompts import LEAST_FALSE, MOST_FALSE

NUMBERS: dict[str, tuple[float, float]] = {
    "id": (1, LARGEST),
    "limit": (1, MOST_LISTED),
    "max_new_tokens": (1, MOST_NEW_TOKENS),
    "seed": (0, LARGEST),
    "temperature": (0, 10),
    "train.temperature": (LEAST_TEMPERATURE, MOST_RADIUS),
    "top_p": (0, 1),
    "vector": (0, MOST_VECTORS - 1),
    "vectors": (0, MOST_VECTORS - 1),
    "train.vectors": (1, MOST_VECTORS),
    "random": (LEAST_RANDOM, MOST_RANDOM),
    "radius": (-MOST_RADIUS, MOST_RADIUS),
    "radii": (-MOST_RADIUS, MOST_RADIUS),
    "train.radius": (LEAST_RADIUS, MOST_RADIUS),
    "relative_radius": (0, MOST_RADIUS),
    "source": (0, MOST_LAYER),
    "target": (0, MOST_LAYER),
    "position": (-MOST_ITEMS, MOST_ITEMS),
    "steps": (1, MOST_STEPS),
    "p": (0, 1000),
    "q": (0, 1000),
    "saturation": (0, MOST_RADIUS),
    "orthogonality": (0, MOST_RADIUS),
    "agreement": (0, MOST_RADIUS),
    "rating": (0, 5),
    "seconds": (0, MOST_SECONDS),
    "samples": (1, MOST_SAMPLES),
    "find.samples": (1, MOST_FOUND_SAMPLES),
    "unseen": (LEAST_UNSEEN, MOST_UNSEEN),
    "find.vectors": (2, MOST_FOUND),
    "adapters.count": (1, MOST_ADAPTERS),
    "adapters.radius": (LEAST_RADIUS, MOST_RADIUS),
    **{f"harden.{name}": both for name, both in HARDEN.items()},
    "layer": (0, MOST_LAYER),
    "epsilon": (0, MOST_RADIUS),
    "relative_epsilon": (0, MOST_RADIUS),
    "effect_budget": (0, MOST_RADIUS),
    "labels": (0, 1),
    "false_alarms": (LEAST_FALSE, MOST_FALSE),
    "audit.seconds": (1, MOST_BUDGET),
    "audit.vectors": (2, MOST_VECTORS),
    "explore.vectors": (2, MOST_VECTORS),
    "explore.radius": (LEAST_RADIUS, MOST_RADIUS),
    "elsewhere": (0, MOST_ELSEWHERE),
    "search_seconds": (0, MOST_SECONDS),
    "same_meaning": (0, 2),
    "triggers.tokens": (1, MOST_TOKENS),
    "triggers.steps": (1, MOST_SEARCH_STEPS),
    "candidates": (1, MOST_CANDIDATES),
    "restarts": (1, MOST_RESTARTS),
    "triggers.held_out": (LEAST_HELD_OUT, MOST_HELD_OUT),
    "most_prompts": (LEAST_PROMPTS, MOST_TESTED),
    "parts.keep": (LEAST_KEEP, MOST_KEEP),
    "exact": (1, MOST_EXACT),
    "parts.max_new_tokens": (1, MOST_ANSWER),
}
"""Least and most of a number, by argument, or by verb and argument where verbs differ."""
LONG = ("prompts", "keep", "avoid", "clean", "against", "held_out", "system", "note", "toward", "says", "behaviour")
"""Arguments that are texts rather than names."""
COUNTS = {"prompts": MOST_PROMPTS, "against": MOST_PROMPTS, "held_out": MOST_PROMPTS, "groups": MOST_PROMPTS,
          "radii": MOST_RADII, "vectors": MOST_VECTORS, "clean": MOST_PROMPTS, "labels": MOST_PROMPTS,
          "keep": MOST_PROMPTS, "avoid": MOST_PROMPTS}  # fmt: skip
"""Most entries of a list."""


def check_arguments(verb: str, arguments: Mapping[str, Any]) -> None:
    """Raises InputError for the first argument that is out of range or too long. Files are checked elsewhere."""
    for name, value in arguments.items():
        _check(verb, name, name, value)


def _check(verb: str, name: str, field: str, value: Any) -> None:
    if isinstance(value, list):
        check_count(field, len(value), COUNTS.get(name, MOST_ITEMS))
        for place, entry in enumerate(value):
            _check(verb, name, f"{field}[{place}]", entry)
        check_texts_together(field, (entry for entry in value if isinstance(entry, str)))
    elif isinstance(value, str):
        check_text(field, value, MOST_CHARACTERS if name in LONG else MOST_NAME)
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError(field, "it contains half of a surrogate pair", "Remove it")
        if name not in LONG and "\0" in value:
            raise InputError(field, "it contains a NUL, which no name can have", "Remove it")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        usual = (-LARGEST, LARGEST) if isinstance(value, int) else (-1.8e308, 1.8e308)
        check_range(field, value, *NUMBERS.get(f"{verb}.{name}", NUMBERS.get(name, usual)))
