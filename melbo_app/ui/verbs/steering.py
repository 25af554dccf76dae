"""Verbs about what vectors do: completions at one R or many, maps and likeness."""

from typing import Any

from melbo_app import results
from melbo_app.defaults import Norms, chosen, own_prompts, prompts_from
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.job import Job
from melbo_app.jobs.request import MapRequest, SweepRequest
from melbo_app.ui.forms import Returning
from melbo_app.ui.leaving import leaving
from melbo_app.ui.verbs.training import WHO
from melbo_app.workbench import Workbench

SHARES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""R of a sweep where none are given, as multiples of R as trained; of unequal norms, of their median."""

LOOK_SECONDS = 0.2
"""Between two looks whether who waits for a job is still there."""


class SteeringVerbs:
    """Steering, sweeps, maps and similarity."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench

    def steer(
        self,
        bank: str,
        prompts: list[str] | None = None,
        vectors: list[int] | None = None,
        radii: list[float] | None = None,
        random_control: bool = False,
        both_signs: bool = False,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        system: str | None = None,
        template: bool | str | None = None,
    ) -> results.Steered:
        """Complete prompts without steering, and with each vector of a bank added. Known texts are looked up.

        Args:
            bank: name of the bank
            prompts: user texts; left out: those that the bank was trained on
            vectors: numbers of the vectors; left out: all
            radii: each R, the norm that vectors are added with, which may be negative; left out: as in the bank
            random_control: add a random vector of the same R
            both_signs: each vector at R and at -R
            max_new_tokens: longest completion, in tokens
            temperature: 0 takes the likeliest token (greedy), up to 10
            top_p: sample from the likeliest tokens of this total probability
            seed: of all random numbers
            system: system text for all prompts
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            comparison (its id), completions (text, vector, radius, scores … of each), stopped, not_kept (why, or null)
        """
        decoding = Decoding(max_new_tokens, temperature, top_p, seed)
        request = self._request(bank, prompts, vectors, radii, system, template)
        work = self._workbench.steer(
            bank, *request, decoding, random_control=random_control, both_signs=both_signs, stop=leaving()
        )
        told = Returning(work)
        for _ in told:
            pass
        return results.steered(told.result)

    def sweep(
        self,
        bank: str,
        prompts: list[str] | None = None,
        vectors: list[int] | None = None,
        radii: list[float] | None = None,
        random_control: bool = True,
        both_signs: bool = False,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        system: str | None = None,
        template: bool | str | None = None,
    ) -> results.Swept:
        """Steer with the same vectors at many R, beside random vectors: where do texts change, and where do they break?

        Args:
            bank: name of the bank
            prompts: user texts; left out: those that the bank was trained on
            vectors: numbers of the vectors; left out: all
            radii: each R, the norm that vectors are added with; left out: 0.5, 0.75, 1, 1.25 and 1.5 times R as trained
            random_control: add a random vector of the same R
            both_signs: each vector at R and at -R
            max_new_tokens: longest completion, in tokens
            temperature: 0 takes the likeliest token (greedy), up to 10
            top_p: sample from the likeliest tokens of this total probability
            seed: of all random numbers
            system: system text for all prompts
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            what `steer` returns, radii (how many texts are readable at each, of vectors and control) and flagged
        """
        decoding = Decoding(max_new_tokens, temperature, top_p, seed)
        if radii is None:
            trained = self._workbench.bank(bank).record.radius
            radii = [float(f"{share * trained:.3g}") for share in SHARES]
        texts, numbers, _ = self._request(bank, prompts, vectors, radii, system, template)
        asked = SweepRequest(
            bank=bank,
            prompts=tuple(texts),
            vectors=tuple(numbers),
            radii=tuple(radii),
            decoding=decoding,
            random_control=random_control,
            both_signs=both_signs,
        )
        return results.swept(awaited(self._workbench.start_job(asked, who=WHO)))

    def similarity(
        self,
        bank: str,
        prompts: list[str] | None = None,
        scope: str = "content",
        system: str | None = None,
        template: bool | str | None = None,
    ) -> results.Cosines:
        """Which vectors of a bank do the same: cosines of what they change at the target layer, and of themselves.

        Args:
            bank: name of the bank
            prompts: user texts to measure on; left out: those that the bank was trained on
            scope: tokens that count: all, content, assistant or last:4
            system: system text for all prompts
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            matrix [V][V] (of the changes), theta [V][V] (of the vectors), order (alike ones together) and both means
        """
        asked = None if prompts is None else prompts_from(prompts, system, template, self._has_template())
        return results.cosines(bank, self._workbench.similarity(bank, asked, scope, stop=leaving()))

    def map(
        self,
        bank: str,
        prompts: list[str] | None = None,
        vectors: list[int] | None = None,
        radii: list[float] | None = None,
        random_control: bool = False,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        system: str | None = None,
        template: bool | str | None = None,
    ) -> results.Drawn:
        """Complete as `steer` does, and place the texts on a plane, alike ones near each other.

        Args:
            bank: name of the bank
            prompts: user texts; left out: those that the bank was trained on
            vectors: numbers of the vectors; left out: all
            radii: each R, the norm that vectors are added with, which may be negative; left out: as in the bank
            random_control: add a random vector of the same R
            max_new_tokens: longest completion, in tokens
            temperature: 0 takes the likeliest token (greedy), up to 10
            top_p: sample from the likeliest tokens of this total probability
            seed: of all random numbers
            system: system text for all prompts
            template: the model's chat template, true, false or as --template has it; left out: where it has one
        Returns:
            method (UMAP, or PCA for few texts), note, points: x, y, vector, radius, label, text of each, and not_kept
        """
        decoding = Decoding(max_new_tokens, temperature, top_p, seed)
        texts, numbers, norms = self._request(bank, prompts, vectors, radii, system, template)
        asked = MapRequest(
            bank=bank,
            prompts=tuple(texts),
            vectors=tuple(numbers),
            radii=None if norms is None else tuple(norms),
            decoding=decoding,
            random_control=random_control,
        )
        return results.drawn(awaited(self._workbench.start_job(asked, who=WHO)))

    def _has_template(self) -> bool:
        return bool(self._workbench.load_model().has_template)

    def _request(
        self,
        bank: str,
        prompts: list[str] | None,
        vectors: list[int] | None,
        radii: list[float] | None,
        system: str | None,
        template: bool | str | None,
    ) -> tuple[list[Prompt], list[int], Norms]:
        """Prompts, vectors and R of a steering, with the bank's own where nothing is given."""
        loaded = self._workbench.bank(bank)
        numbers, norms = chosen(loaded, vectors, radii)
        if prompts is not None:
            return prompts_from(prompts, system, template, self._has_template()), numbers, norms
        own = own_prompts(loaded, system, template)
        if not own:
            raise InputError("prompts", f"“{bank}” has none of its own", "Give one")
        return own, numbers, norms


def awaited(job: Job[Any, Any]) -> Any:
    """What a job made, when it is over. Who leaves in between stops it; what is finished is kept."""
    left = leaving()
    while not job.wait(LOOK_SECONDS):
        if left():
            job.stop()
            raise Stopped
    if job.result is None:
        raise MelboError(job.error or f"{job.title} was stopped before there was anything to keep.")
    return job.result
