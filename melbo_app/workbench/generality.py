"""Use cases of generality: on how many prompts do vectors work?"""

from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generality import RANDOM, GeneralityProgress, Means, check, generality
from melbo_app.jobs.job import Job
from melbo_app.jobs.mapping import embed
from melbo_app.jobs.request import GeneralityRequest
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.damage import Listed
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.library.prompt_sets import SetPrompt
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import HERE, Stop


class Generalising(Shelf):
    """Vectors on sets of prompts."""

    def prompt_set(self, given: Sequence[str]) -> list[SetPrompt]:
        """The prompts of shipped sets and files. Raises InputError where one cannot be read."""
        return self._prompt_sets.read_all(list(given))

    def asked(
        self, prompts: Sequence[SetPrompt], system: str | None = None, template: bool | str | None = None
    ) -> list[AskedPrompt]:
        """These prompts as the loaded model gets them; ``template`` None: in its chat template where it has one."""
        wrapped = bool(self._model.get().has_template) if template is None else template
        return [
            AskedPrompt(
                prompt=PromptRecord(user=one.text, system=system or None, template=wrapped),
                group=one.group,
                set=one.set,
            )
            for one in prompts
        ]

    def generality(
        self,
        bank: str,
        prompts: Sequence[AskedPrompt],
        vectors: Sequence[int] | None = None,
        radius: float | None = None,
        *,
        random: int = RANDOM,
        decoding: Decoding | None = None,
        stop: Stop = lambda: False,
    ) -> Generator[GeneralityProgress, None, Generality]:
        """On how many prompts each vector (None: all of the bank) changes the answer, beside ``random`` random vectors
        of the same R. A stop keeps the prompts that are finished; what is finished is kept for ``generalities``."""
        lm = self._model.get()
        loaded = self._bank_for(lm, bank)
        chosen = decoding or Decoding()

        def places(texts: Sequence[str]) -> Any:
            with self._compute.hold():
                return embed(texts, self._embed(), self._embeddings, self._compute.giving_way(stop))

        def keep(made_by: Bank, completions: Sequence[Completion]) -> None:
            settings = {
                "kind": "part",
                "bank": made_by.record.name,
                "bank_hash": made_by.hash,
                "prompts": [one.prompt.model_dump() for one in completions if one.vector is None],
                "decoding": asdict(chosen),
                "finished": True,
            }
            self._completions.keep(settings, completions)

        every = range(len(loaded.vectors)) if vectors is None else vectors
        means = Means(self._completions.find, places, self._batching, keep)
        found = yield from generality(
            lm, loaded, list(every), radius, prompts, means, stop, random=random, decoding=chosen
        )
        self._generalities.keep(found)
        return found

    def start_generality(
        self,
        bank: str,
        prompts: Sequence[AskedPrompt],
        vectors: Sequence[int],
        radius: float | None = None,
        *,
        random: int = RANDOM,
        decoding: Decoding | None = None,
        who: str = HERE,
    ) -> Job[GeneralityProgress, Generality]:
        """The same in the background. What cannot be measured is refused at once."""
        check(self.bank(bank), vectors, radius, prompts, random)
        request = GeneralityRequest(
            bank=bank,
            prompts=tuple(prompts),
            vectors=tuple(vectors),
            radius=radius,
            random=random,
            decoding=decoding or Decoding(),
        )
        return self._desk.start(request, who)

    def generalities(self) -> Listed[Generality]:
        """Those of the loaded model, the newest first; none where no model is loaded."""
        state = self._model.state()
        return self._generalities.of_model(state.weights_hash) if state.weights_hash else Listed()
