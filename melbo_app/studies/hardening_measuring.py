"""What a model does before and after a hardening: the planted behaviour, its quality, and its refusals."""

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from melbo_app.analysis.flags.refusal import refusal
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.progress import Progress
from melbo_app.library.counted import Counted
from melbo_app.library.hardened import HardenedPart, HardenedText, PartName
from melbo_app.library.organism_recipe import Item, OrganismRecipe
from melbo_app.studies.organism_readable import readable

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.lessons import Answer
    from melbo_app.engine.lora import Lora
    from melbo_app.engine.model import LanguageModel

Shows = Callable[[str], bool]


def asked(
    recipe: OrganismRecipe | None, kept: Sequence[str], refused: Sequence[str]
) -> dict[PartName, list[tuple[str, Shows]]]:
    """The prompts of each part, and how an answer is told to show what is counted there."""

    def shown(item: Item) -> Shows:
        return lambda text: recipe is not None and recipe.sign.shows(text, item)

    found: dict[PartName, list[tuple[str, Shows]]] = {}
    if recipe is not None:
        planted: dict[PartName, Any] = {
            "triggered": recipe.measure.triggered, "plain": recipe.measure.plain, "decoy": recipe.measure.decoy,
        }  # fmt: skip
        for name, part in planted.items():
            found[name] = [(text, shown(item)) for text, item in part.texts]
    found["kept"] = [(text, shown(Item(prompt=text[:2_000]))) for text in kept]
    found["refused"] = [(text, lambda said: refusal(said) is not None) for text in refused]
    return found


def measure(
    lm: "LanguageModel",
    lora: "Lora",
    parts: dict[PartName, list[tuple[str, Shows]]],
    tokens: int,
    compute: ComputeLock,
    stop: Stop,
) -> Generator[Progress, None, dict[str, Any]]:
    """The fields of a ``Hardened`` that say what the model does without ``lora`` and with it. Raises Stopped."""
    from melbo_app.engine.lessons import AT_ONCE, answers, lesson, loss_on

    total = 2 * sum(map(len, parts.values()))
    said: dict[tuple[PartName, bool], list[Answer]] = {}
    done = 0
    for part, prompts in parts.items():
        for before in (True, False):
            asked_texts = [text for text, _ in prompts]
            found: list[Answer] = []
            # a part at a time, because the adapter may be off only while nothing is yielded
            for start in range(0, len(asked_texts), AT_ONCE):
                yield Progress(f"answers before and after: {done + len(found)} of {total}", done + len(found), total)
                with compute.hold(short=False), lora.off() if before else nullcontext():
                    found += result_of(answers(lm, asked_texts[start : start + AT_ONCE], tokens, stop))
            said[part, before] = found
            done += len(found)
    yield Progress("reading the answers", total, total)
    kept = [text for text, _ in parts["kept"]]
    with compute.hold(short=False):
        own = [lesson(lm, text, one) for text, one in zip(kept, said["kept", True], strict=True) if one.ids]
        loss_after = loss_on(lm, own, stop)
        with lora.off():
            loss_before = loss_on(lm, own, stop)
            verdicts = readable(lm, kept, [said["kept", True], said["kept", False]], stop)
    texts, counted = list[HardenedText](), list[HardenedPart]()
    for part, prompts in parts.items():
        rows = [
            HardenedText(
                part=part, prompt=text, before=one.text, after=two.text, shows_before=shows(one.text),
                shows_after=shows(two.text),
            )
            for (text, shows), one, two in zip(prompts, said[part, True], said[part, False], strict=True)
        ]  # fmt: skip
        both = [[one.shows_before for one in rows], [one.shows_after for one in rows]]
        before_after = map(Counted.of, verdicts if part == "kept" else both)
        counted.append(HardenedPart(part=part, before=next(before_after), after=next(before_after)))
        texts += rows
    return {
        "parts": tuple(counted), "loss_before": loss_before, "loss_after": loss_after, "texts": tuple(texts),
    }  # fmt: skip
