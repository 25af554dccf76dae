"""The stamp of a result: what made its texts, to compare with what the page's fields say now."""

from collections.abc import Mapping, Sequence
from typing import Any

from melbo_app.engine.prompt import Prompt
from melbo_app.library.bank import PromptRecord
from melbo_app.ui.forms import template_field
from melbo_app.workbench.banks import Home


def stamp(
    completions: Sequence[Any], homes: Mapping[str, Home], run: int | None = None, *, own_norms: bool = False
) -> dict[str, Any]:
    """The stamp of a comparison with the number ``run``, finished or not.

    ``system`` and ``template`` are as in the fields; several prompts share those of the first, as in the field.
    ``bank`` is None where the vectors are in no bank on the shelf; ``made_by`` says in words whose they are.
    """
    one = next((one for one in completions if isinstance(one.vector, int)), completions[0])
    prompts = {other.prompt_index: other.prompt for other in reversed(completions)}
    first, home = prompts[min(prompts)], homes.get(one.bank_hash or "")
    return {
        "prompts": [prompts[index].user for index in sorted(prompts)],
        "system": first.system or "",
        "template": template_field(first.template),
        "bank": home.name if home is not None and home.place == "shelf" else None,
        "bank_hash": one.bank_hash,
        "made_by": made_by(home),
        "radii": list(dict.fromkeys(other.radius for other in completions if other.vector is not None)),
        "own_norms": own_norms,
        "vectors": sorted({other.vector for other in completions if isinstance(other.vector, int)}),
        "decoding": {name: getattr(one, name) for name in ("max_new_tokens", "temperature", "top_p", "seed")},
        "model": one.model,
        "model_hash": one.model_hash,
        "dtype": one.dtype,
        "run": run,
    }


def prompts_stamp(prompts: Sequence[Prompt | PromptRecord], **facts: Any) -> dict[str, Any]:
    """The stamp of a result that is measured on prompts; ``facts`` are what else decides it. Several share the system
    text and the template of the first."""
    first = prompts[0]
    asked = [prompt.user for prompt in prompts]
    return {"prompts": asked, "system": first.system or "", "template": template_field(first.template), **facts}


def made_by(home: Home | None) -> str:
    """Whose vectors these are, in words; empty without vectors."""
    if home is None:
        return ""
    if home.place == "curve":
        return "random vectors that a curve drew" if home.random else "vectors that a curve trained"
    if home.layers is not None:
        return f"vectors measured for blocks {home.layers[0]} → {home.layers[1]}"
    return home.name if home.place == "shelf" else f"“{home.name}”, which is not on the shelf"
