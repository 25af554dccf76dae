"""The verb that measures how steadily vectors move a propensity."""

import json

from melbo_app.defaults import chosen
from melbo_app.errors import InputError
from melbo_app.library.contrast_sets import CONTRAST, Setting, parse_contrast
from melbo_app.studies.generality import RANDOM
from melbo_app.studies.reliability import TOKENS, MeasureReliability
from melbo_app.studies.reliability_answer import Reliable, reliable
from melbo_app.ui.leaving import leaving
from melbo_app.ui.verbs.study_verb import WHO, awaited
from melbo_app.workbench import Workbench


class ReliabilityVerbs:
    """Vectors on contrast sets."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def reliability(
        self,
        bank: str,
        contrast: str | None = None,
        prompts: list[str] | None = None,
        vectors: list[int] | None = None,
        answers: str | None = None,
        measure: str | None = None,
        out_of_distribution: list[str] | None = None,
        radius: float | None = None,
        random: int = RANDOM,
        max_new_tokens: int = TOKENS,
        seed: int = 0,
        system: str | None = None,
        template: bool | str | None = None,
    ) -> Reliable:
        """How steadily does each vector move a propensity, input by input and in other settings, beside random ones?

        Args:
            bank: name of the bank
            contrast: a contrast set that ships, in place of prompts
            prompts: user texts, or JSON objects with prompt, first, second, group, position, wording, system and id
            vectors: numbers of the vectors; left out: all
            answers: the same two answers for all prompts, as Yes|No
            measure: a sign in written texts instead, as flag:NAME, words:ONE,TWO, regex:PATTERN or language:CODE
            out_of_distribution: contrast sets that ship, each another setting
            radius: R, the norm that vectors are added with; left out: as in the bank
            random: random vectors of the same R
            max_new_tokens: longest text, in tokens, where there is a measure of texts
            seed: of random vectors, bootstrap draws and shufflings
            system: system text of prompts without one
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            vectors (sentence, cards, random, matched … of each), settings with rank correlations, and the inputs
        """
        settings = [self._first(contrast, prompts)]
        settings += [self._shipped(one, "out_of_distribution") for one in out_of_distribution or ()]
        numbers, _ = chosen(self._workbench.bank(bank), vectors, None)
        self._workbench.load_model(stop=leaving())
        study = MeasureReliability(
            bank=bank, settings=self._workbench.asked_inputs(settings, system, template), vectors=numbers,
            radius=radius, random=random, answers=answers, measure=measure, max_new_tokens=max_new_tokens, seed=seed,
        )  # fmt: skip
        found = awaited(self._workbench.start(study, who=WHO))
        return reliable(found, self._workbench.why_not_kept(found))

    def _first(self, contrast: str | None, prompts: list[str] | None) -> Setting:
        if (contrast is None) == (prompts is None):
            problem = "there is a contrast set, too" if prompts else "there are none"
            raise InputError("prompts", problem, "Give either prompts or the name of a contrast set")
        if contrast is not None:
            return self._shipped(contrast, "contrast")
        lines = []
        for number, text in enumerate(prompts or (), start=1):
            if not text.strip():
                raise InputError("prompts", f"prompt {number} is empty", "Write a text for the model to answer")
            lines.append(text if text.lstrip().startswith("{") else json.dumps({"prompt": text}))
        data = "\n".join(" ".join(line.splitlines()) for line in lines).encode("utf-8", "surrogatepass")
        return parse_contrast(data, "own", jsonl=True, shown="the list")

    def _shipped(self, name: str, field: str) -> Setting:
        """Only sets that ship, never a file of the server."""
        if name not in CONTRAST:
            raise InputError(field, f"there is no set “{name}”", f"Choose from {', '.join(CONTRAST)}")
        return self._workbench.contrast_set(name, field)
