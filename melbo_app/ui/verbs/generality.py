"""The verb that measures on how many prompts vectors work."""

from melbo_app.defaults import chosen
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.library.prompt_sets import SHIPPED, SetPrompt, joined
from melbo_app.studies.generality import RANDOM, MeasureGenerality
from melbo_app.studies.generality_answer import General, general
from melbo_app.ui.leaving import leaving
from melbo_app.ui.verbs.study_verb import WHO, awaited
from melbo_app.workbench import Workbench


class GeneralityVerbs:
    """Vectors on sets of prompts."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def generality(
        self,
        bank: str,
        prompts: list[str] | None = None,
        groups: list[str] | None = None,
        sets: list[str] | None = None,
        vectors: list[int] | None = None,
        radius: float | None = None,
        random: int = RANDOM,
        max_new_tokens: int = 40,
        seed: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        samples: int = 1,
        system: str | None = None,
        template: bool | str | None = None,
    ) -> General:
        """On how many prompts does each vector lift a refusal, raise a flag or change the meaning, beside random ones?

        Args:
            bank: name of the bank
            prompts: user texts
            groups: the group of each of them
            sets: sets of prompts that ship: refused, everyday, arithmetic, code
            vectors: numbers of the vectors; left out: all
            radius: R, the norm that vectors are added with; left out: as in the bank
            random: random vectors of the same R
            max_new_tokens: longest completion, in tokens
            seed: of the random vectors, and of the first sampled answers
            temperature: 0 is greedy
            top_p: share of the probability that is sampled from
            samples: answers to each prompt, sampled with this and the following seeds
            system: system text for all prompts
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            vectors (share, interval, random_share, texts … of each), random, groups, sets, and the prompts in order
        """
        asked = joined([self._given(prompts, groups), *([self._shipped(sets)] if sets else [])])
        numbers, _ = chosen(self._workbench.bank(bank), vectors, None)
        decoding = Decoding(max_new_tokens, temperature, top_p, seed)
        self._workbench.load_model(stop=leaving())
        study = MeasureGenerality(
            bank=bank, prompts=self._workbench.asked(asked, system, template), vectors=numbers, radius=radius,
            random=random, samples=samples, decoding=decoding,
        )  # fmt: skip
        found = awaited(self._workbench.start(study, who=WHO))
        return general(found, self._workbench.why_not_kept(found))

    def _given(self, prompts: list[str] | None, groups: list[str] | None) -> list[SetPrompt]:
        texts = prompts or []
        names = ["own"] * len(texts) if groups is None else groups
        if len(names) != len(texts):
            raise InputError("groups", f"there are {len(names)} for {len(texts)} prompts", "Give one for each prompt")
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise InputError("prompts", f"prompt {number} is empty", "Write a text for the model to answer")
        return [SetPrompt(text, name.strip() or "own", "own") for text, name in zip(texts, names, strict=True)]

    def _shipped(self, sets: list[str]) -> list[SetPrompt]:
        """Only sets that ship, never a file of the server."""
        for name in sets:
            if name not in SHIPPED:
                raise InputError("sets", f"there is no set “{name}”", f"Choose from {', '.join(SHIPPED)}")
        return self._workbench.prompt_set(sets)
