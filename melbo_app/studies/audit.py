"""Audit: search a model for behaviours on many prompts, and say which of them hold."""

import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.template_choice import FIELD
from melbo_app.engine.training_config import Method
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy
from melbo_app.library.audits import Audit, AuditedPrompt, AuditWatch
from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import SEARCH_SECONDS, ExploreSettings
from melbo_app.library.prompt_sets import MOST_PROMPTS
from melbo_app.library.versions import versions
from melbo_app.limits import check_prompts, check_range
from melbo_app.studies.audit_answer import Audited, audited, lines_of
from melbo_app.studies.audit_elsewhere import Said, echoed, measuring, on_others, tried_on
from melbo_app.studies.audit_gathered import Gathered
from melbo_app.studies.audit_press import Presses, expectation
from melbo_app.studies.audit_watch import alarms_of, watching
from melbo_app.studies.explore import Explore, check_settings
from melbo_app.studies.usual_prompts import FALSE_ALARMS, check_usual

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

BUDGET, MOST_BUDGET = 3600.0, 30 * 86_400
ELSEWHERE, MOST_ELSEWHERE = 12, 50
SEARCH, TRY, WATCH = 700, 200, 100
"""Shares of the progress."""
STOPPED = "It was stopped"


@dataclass(frozen=True, kw_only=True)
class AuditProgress(Progress):
    """The progress of an audit; ``lines`` say how long it will take, and what its prompts showed so far."""

    lines: tuple[str, ...] = ()


class MakeAudit(ModelStudy[Audit]):
    """Search a model for behaviours on many prompts, and say which hold on the other prompts, beside random vectors.

    One press of Explore per prompt, in their order, until the seconds are used up. Each behaviour is then tried on
    other prompts of the audit. With clean prompts, the banks found watch the audit's prompts. Presses that were done
    before are looked up, so a stopped audit goes on where it was. Stopping keeps the finished prompts.

    Returns:
        sentence, behaviours, prompts (with what was tried on each), watch, left_out, commands, key (for export_audit) …
    """

    kind: ClassVar[str] = "audit"
    doors = frozenset({"http"})
    hidden = frozenset({"files"})
    makes_bank = True

    prompts: tuple[Prompt, ...] = Field(description="user texts to explore, in this order")
    groups: tuple[str, ...] | None = Field(None, description="the group of each of them; left out: one for all")
    clean: tuple[str, ...] | None = Field(
        None, description="ordinary user texts, ten or more: the banks found then watch the prompts"
    )
    seconds: float = Field(BUDGET, description="time after which the search begins no further prompt")
    elsewhere: int = Field(ELSEWHERE, description="prompts of the audit to try each behaviour on; 0: none")
    vectors: int = Field(8, description="how many vectors to train for each prompt")
    method: Method = Field("joint", description="method of training")
    steps: int | None = Field(None, description="most steps of a training; left out: the method's own")
    source: int | None = Field(None, description="block to whose output vectors are added; left out: searched")
    target: int | None = Field(None, description="block at whose output the change is measured; left out: searched")
    scope: str | None = Field(None, description="tokens that count in training; left out: as suggested")
    relative_radius: float | None = Field(None, description="R in median residual norms; left out: searched")
    effect_budget: float | None = Field(None, description="effect budget of the training; left out: searched")
    search_seconds: float = Field(SEARCH_SECONDS, description="time for the search for R on each prompt")
    max_new_tokens: int = Field(40, description="longest completion, in tokens")
    false_alarms: float = Field(FALSE_ALARMS, description="share of clean prompts that may raise an alarm")
    seed: int = Field(0, description="of all random numbers")
    files: tuple[str, str] = ("", "")
    """Names of the files of prompts and of clean prompts, for the commands of the result."""

    @property
    def title(self) -> str:
        many = len(self.prompts)
        return f"Audit on {many} prompt{'s' * (many != 1)}"

    @property
    def settings(self) -> ExploreSettings:
        """Those of each press, which tries nothing elsewhere: the audit does."""
        return ExploreSettings(
            relative_radius=self.relative_radius, vectors=self.vectors, method=self.method, steps=self.steps,
            seed=self.seed, source=self.source, target=self.target, scope=self.scope,
            max_new_tokens=self.max_new_tokens, effect_budget=self.effect_budget, search_seconds=self.search_seconds,
            elsewhere=0,
        )  # fmt: skip

    @property
    def grouped(self) -> tuple[str, ...]:
        """The group of each prompt."""
        return self.groups or ("",) * len(self.prompts)

    def check(self, bench: Bench) -> None:
        if not self.prompts:
            raise InputError("prompts", "there are none to explore", "Give one or more")
        check_prompts(self.prompts)
        if len(self.prompts) > MOST_PROMPTS:
            raise InputError("prompts", f"there are {len(self.prompts)}", f"Use at most {MOST_PROMPTS}")
        texts = [one.user for one in self.prompts]
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise InputError("prompts", f"prompt {number} is empty", "Write a text for the model to answer")
            if text in texts[: number - 1]:
                raise InputError("prompts", f"prompt {number} is there twice", "Leave one of them out")
        if len(self.grouped) != len(texts):
            raise InputError("groups", f"there are {len(self.grouped)} for {len(texts)} prompts", "Give one for each")
        check_range("seconds", self.seconds, 1, MOST_BUDGET)
        check_range("elsewhere", self.elsewhere, 0, MOST_ELSEWHERE)
        check_settings(self.settings)
        if self.clean is not None:
            check_usual(self.clean, self.false_alarms)

    def check_model(self, bench: Bench) -> None:
        lm = bench.model.get()
        if self.prompts[0].template and not lm.has_template:  # every prompt would fail
            raise InputError(FIELD, f"{lm.name} has none", "Switch the template off")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Audit]:
        """Raises Stopped for a stop before the first prompt was finished, and InputError if no prompt can be
        explored."""
        lm, now = bench.model.get(stop), Gathered()
        began = time.monotonic()
        yield from self._search(bench, lm, stop, now)
        searched = time.monotonic()
        numbers = tried_on(self.prompts, self.grouped, self.elsewhere)
        yield from self._try(bench, stop, now, numbers)
        tried = time.monotonic()
        yield from self._watch(bench, stop, now)
        stages = ("search", "other prompts", "watch")
        moments = (began, searched, tried, time.monotonic())
        now.seconds = {name: round(moments[at + 1] - moments[at], 1) for at, name in enumerate(stages)}
        found = self._result(bench, lm, now, numbers)
        bench.audits.keep(found)
        return found

    def _search(self, bench: Bench, lm: "LanguageModel", stop: Stop, now: Gathered) -> Generator[Progress, None, None]:
        """One press for each prompt."""
        total, presses = len(self.prompts), Presses(bench, lm, self.settings)
        done = [presses.done(prompt) for prompt in self.prompts]
        note = expectation(done.count(None), total, presses.usual_seconds, self.seconds)
        now.lines.append(note)
        yield AuditProgress("searching", 0, SEARCH + TRY + WATCH, note, lines=(note,))
        began, error = time.monotonic(), None
        for number, (prompt, group, known) in enumerate(zip(self.prompts, self.grouped, done, strict=True)):
            at = AuditProgress(
                f"prompt {number + 1} of {total}", SEARCH * number // total, SEARCH + TRY + WATCH,
                lines=tuple(now.lines),
            )  # fmt: skip
            late = time.monotonic() - began > self.seconds
            if known is None and (now.stopped or late):
                why = "" if now.stopped else f"the {self.seconds:g} seconds of the search were used up"
                now.prompts.append(
                    AuditedPrompt(prompt=PromptRecord.of(prompt), group=group, state="not reached", problem=why)
                )
                continue
            try:
                if known is None:
                    press = Explore(prompt=prompt, settings=self.settings)
                    known = yield from part_of(at, press.run(bench, stop), SEARCH // total)
            except Stopped:
                now.stopped = True
                now.prompts.append(AuditedPrompt(prompt=PromptRecord.of(prompt), group=group, state="not reached"))
                continue
            except InputError as refused:  # of this prompt: the others may be fit
                error = refused
                record = AuditedPrompt(
                    prompt=PromptRecord.of(prompt), group=group, state="failed", problem=str(refused)
                )
                now.prompts.append(record)
            else:
                now.add(known, number, group)
            now.tell(number)
            yield AuditProgress(at.stage, SEARCH * (number + 1) // total, at.total, now.lines[-1], lines=(*now.lines,))
        states = {one.state for one in now.prompts}
        if error is not None and states == {"failed"}:
            raise error
        if not states & {"found", "nothing"}:
            raise Stopped("Stopped before the first prompt was finished: nothing to keep.")

    def _try(
        self, bench: Bench, stop: Stop, now: Gathered, numbers: tuple[int, ...]
    ) -> Generator[Progress, None, None]:
        """The behaviours on other prompts."""
        if not now.found:
            return
        if not self.elsewhere or len(self.prompts) == 1:
            why = "the audit has one prompt" if self.elsewhere else "that was not asked for"
            now.left_out.append(f"Behaviours were not tried on other prompts: {why}.")
            return
        decoding, said = Decoding(self.max_new_tokens, seed=self.seed), dict[str, Said]()
        for at, (bank, found) in enumerate(list(now.found.items())):
            whole = AuditProgress(
                f"behaviours on other prompts, bank {at + 1} of {len(now.found)}",
                SEARCH + TRY * at // len(now.found), SEARCH + TRY + WATCH, lines=tuple(now.lines),
            )  # fmt: skip
            study = measuring(found, self.prompts, self.grouped, numbers, decoding)
            work = on_others(found, numbers, now.limits[bank], study, bench, stop)
            try:
                if stop():
                    raise Stopped
                now.found[bank], said[bank] = yield from part_of(whole, work, TRY // len(now.found))
            except Stopped:
                now.stopped = True
                now.left_out.append(f"{STOPPED} before all behaviours were tried on other prompts.")
                return
            except MelboError as error:
                now.left_out.append(f"The behaviours of “{bank}” were not tried on other prompts: {error}")
        try:
            now.found = echoed(now.found, said, now.limits, bench, stop)
        except Stopped:
            now.stopped = True
            now.left_out.append(f"{STOPPED} before behaviours were looked for under the vectors of other banks.")

    def _watch(self, bench: Bench, stop: Stop, now: Gathered) -> Generator[Progress, None, None]:
        """The banks that found something, on watch."""
        if self.clean is None:
            now.left_out.append("Watch was left out: no clean prompts were given.")
            return
        if not now.found:
            now.left_out.append("Nothing watched: no bank has a behaviour to watch for.")
            return
        for at, (bank, found) in enumerate(now.found.items()):
            whole = AuditProgress(
                f"watching, bank {at + 1} of {len(now.found)}", SEARCH + TRY + WATCH * at // len(now.found),
                SEARCH + TRY + WATCH, lines=tuple(now.lines),
            )  # fmt: skip
            study = watching(bank, self.prompts, self.clean, self.false_alarms, self.seed)
            try:
                if stop():
                    raise Stopped
                seen = yield from part_of(whole, study.run(bench, stop), WATCH // len(now.found))
            except Stopped:
                now.stopped = True
                now.left_out.append(f"{STOPPED} before all banks had watched.")
                break
            except MelboError as error:
                now.left_out.append(f"“{bank}” did not watch: {error}")
                continue
            banked, alarms = alarms_of(seen, found, lambda number, bank=bank: now.prompts[number].bank == bank)  # type: ignore[misc]
            now.banks.append(banked)
            now.alarms += alarms

    def _result(self, bench: Bench, lm: "LanguageModel", now: Gathered, numbers: tuple[int, ...]) -> Audit:
        watched = self.clean is not None and now.banks
        return Audit(
            model=lm.name,
            model_hash=lm.weights_hash,
            spec=bench.model.spec,
            dtype=str(lm.dtype).removeprefix("torch."),
            settings=self.settings,
            budget=self.seconds,
            prompts=tuple(now.prompts),
            behaviours=now.behaviours,
            elsewhere=self.elsewhere,
            tried_on=numbers if any(one.others for one in now.behaviours) else (),
            watch=AuditWatch(
                clean=self.clean or (), false_alarms=self.false_alarms, banks=tuple(now.banks),
                alarms=tuple(now.alarms),
            ) if watched else None,
            left_out=tuple(now.left_out),
            seconds=now.seconds,
            versions=versions("torch", "transformers"),
            files=self.files,
            created=datetime.now(UTC),
        )  # fmt: skip

    def answer(self, result: Audit, not_kept: str | None) -> Audited:
        return audited(result, not_kept)

    def lines(self, result: Audit) -> list[str]:
        return lines_of(result)
