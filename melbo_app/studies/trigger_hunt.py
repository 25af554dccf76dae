"""The work of a search for triggers: what it leads toward, each restart, sampling, and the test of a string."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.slices import pair_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.triggers import WORKS, Trigger, TriggeredAnswer, TriggerRequest, search_key
from melbo_app.sizes import size_text
from melbo_app.studies.trigger_goal import Goal, Shown, measure_of
from melbo_app.studies.trigger_sampling import Done, Tried, sampled_words

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.studies.triggers import FindTriggers

TRAINED_ON = 4
"""Clean prompts that a search runs on; the others are held out."""
TEXT_TOKENS = 10
"""Tokens of the text whose likelihood is raised, its first ones."""
TOP = 64
"""Replacements that the gradient proposes at each position."""
LAST = 4
"""Tokens that count at the target layer where no template stands behind the user's text."""


@dataclass
class Hunt:
    """One search. ``prepared`` comes first, and fills in the rest.

    Attributes:
        trained, tested: the clean prompts.
        goal: the text that is raised, or "".
        source, target: the vector's layers.
        clean: the loss without a trigger.
        sampled: texts that were sampled under the vector.
    """

    bench: Bench
    lm: "LanguageModel"
    study: "FindTriggers"
    trained: list[Prompt]
    tested: list[Prompt]
    stop: Stop
    goal: str = ""
    source: int | None = None
    target: int | None = None
    clean: float = 0.0
    baselines: tuple[TriggeredAnswer, ...] = ()
    known: Trigger | None = None
    sampled: list[str] = field(default_factory=list)
    _theta: Any = None
    _words: list[list[tuple[str, float]]] = field(default_factory=list)

    @property
    def request(self) -> TriggerRequest:
        """All that determines the search."""
        study, goal = self.study, Goal.parse(self.study.toward)
        return TriggerRequest(
            text=goal.text or (study.says or ""),
            bank=goal.bank,
            bank_hash=self.bench.banks.load(goal.bank).hash if goal.bank else "",
            vector=goal.vector,
            together=study.together,
            method=study.method,
            place=study.place,
            trained_on=tuple(map(PromptRecord.of, self.trained)),
            tested_on=tuple(map(PromptRecord.of, self.tested)),
            tokens=study.tokens, steps=study.steps, candidates=study.candidates, restarts=study.restarts,
            random=study.random, max_new_tokens=study.max_new_tokens, measure=study.measure or "",
            planted=(study.planted or "").strip(), seed=study.seed,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Of the kept result."""
        return search_key(self.lm.weights_hash, str(self.lm.dtype).removeprefix("torch."), self.request)

    def prepared(self) -> Generator[str, None, str]:
        """Read the prompts, the vector and the vocabulary; returns a note on memory.

        Raises:
            InputError: the planted trigger never fires, or the work does not fit into memory.
        """
        from melbo_app.engine.trigger_loss import Toward, TriggerLoss
        from melbo_app.engine.trigger_place import keep_their_tokens, places, printable_tokens
        from melbo_app.engine.trigger_search import Vocabulary, token_ids

        study, lm, request = self.study, self.lm, self.request
        self._places = places(lm, self.trained, study.place, self.stop)
        yield "answers without a trigger"
        plain = self._answers(self.tested)
        goals, text = [request.text] * len(self.tested), request.text
        directions = bases = None
        scope = min(one.tail for one in self._places) or LAST
        if request.bank:
            yield "what the vector does"
            directions, bases = yield from self._direction(request.bank, request.vector or 0, scope)
            if not request.text:
                steered = self._answers([self.trained[0], *self.tested], self._theta)
                goals, text = steered[1:], steered[0] if study.together else ""
                if study.together and not text.strip():
                    raise InputError("together", "the vector's own answer is empty", "Give a text with --says")
        self.goal = text
        raised = self._target_tokens(text) if text else ()
        note = self._memory(len(raised))
        self._texts = printable_tokens(lm, self.stop)
        self._vocabulary = Vocabulary(
            token_ids(sorted(self._texts)), lambda ids: keep_their_tokens(lm, self._places, ids, self._texts)
        )
        toward = Toward(raised, self.target or 0, directions, bases, scope)
        self._loss = TriggerLoss(lm, self._places, toward, self._rows)
        with self.bench.compute.hold():
            self.clean = self._loss.without(self.bench.compute.giving_way(self.stop))
        self._shown = Shown(self.bench, measure_of(study.measure), self.tested, goals, plain)
        shows = self._shown.of(plain, self.stop)
        self.baselines = _answers_of(plain, shows)
        if request.planted:
            yield "the planted trigger"
            space = " " if study.place == "end" else ""
            known = f"{space}{request.planted}"
            self.known = yield from self._tested(known)
            if not self.known.shows.count:
                problem = f"“{request.planted}” never brings it out on {len(self.tested)} held-out prompts"
                raise InputError("planted", problem, "Check the measure, the place and the model, or leave it out")
            ids = token_ids([lm.tokenizer(known, add_special_tokens=False)["input_ids"]])
            with self.bench.compute.hold():
                loss = float(self._loss.exact(ids, self.bench.compute.giving_way(self.stop))[0])
            self.known = self.known.model_copy(update={"before": self.clean, "after": loss})
        return note

    def trigger(self, number: int) -> Generator[Done, None, Trigger | None]:
        """The trigger of a restart, tested; None if sampling has no more words. Raises Stopped."""
        if self.study.method == "sampling":
            return (yield from self._sampled_trigger(number, 0))
        from melbo_app.engine.trigger_search import search, seeded

        generator = seeded(1_000 * self.study.seed + number)
        start = self._vocabulary.draw(1, self.study.tokens, generator)
        if not len(start):
            problem = f"no string of {self.study.tokens} tokens keeps its tokens in the prompts of {self.lm.name}"
            raise InputError("place", problem, "Choose the other place")
        work = search(
            self._loss, self._vocabulary, start[0], steps=self.study.steps, candidates=self.study.candidates, top=TOP,
            generator=generator, stop=self.bench.compute.giving_way(self.stop),
        )  # fmt: skip
        steps, found = self.bench.compute.steps(work, short=False), None
        for found in steps:
            yield Done(0.95 * found.step / self.study.steps, f", step {found.step}: loss {found.loss:.3f}")
        assert found is not None, "a search has a step"
        text = "".join(self._texts[token] for token in found.ids)
        pieces = tuple(self._texts[token] for token in found.ids)
        tested = yield from self._tested(text, Done(0.95))
        return tested.model_copy(update={"pieces": pieces, "before": found.start, "after": found.loss})

    def random(self) -> Generator[Done, None, list[Trigger]]:
        """The random strings, tested. Raises Stopped."""
        if self.study.method == "sampling":
            found: list[Trigger] = []
            for number in range(self.study.random):
                one = yield from self._sampled_trigger(number, 1)
                if one is None:
                    break
                found.append(one)
            return found
        from melbo_app.engine.trigger_search import seeded

        generator = seeded(1_000 * self.study.seed + 999)
        drawn = self._vocabulary.draw(self.study.random, self.study.tokens, generator).tolist()
        found = []
        for ids in drawn:
            one = yield from self._tested("".join(self._texts[token] for token in ids), Done(0))
            found.append(one.model_copy(update={"pieces": tuple(self._texts[token] for token in ids)}))
        return found

    def _sampled_trigger(self, number: int, which: int) -> Generator[Done, None, Trigger | None]:
        """The word with the lowest loss but ``number``, of those sampled under the vector (0) or a random one (1)."""
        if not self._words:
            yield Done(0, ": writing user turns")
            found = yield from sampled_words(self.bench, self.lm, self.trained, self._theta, self._tried(), self.stop)
            self.sampled, self._words = found
        words = self._words[which]
        if number >= len(words):
            return None
        text, loss = words[number]
        tested = yield from self._tested(text, Done(0.95))
        return tested.model_copy(update={"pieces": (text,), "before": self.clean, "after": loss})

    def _tried(self) -> Tried:
        space = " " if self.study.place == "end" else ""
        return Tried(self._loss, self._places, self._texts, space, self.study.seed)

    def _direction(self, name: str, vector: int, scope: int) -> Generator[str, None, Any]:
        """The vector's mean Δ over the last tokens of the prompts, for each of them [P, d], and what stands there
        without it."""
        from melbo_app.engine.encoding import encode
        from melbo_app.engine.prompt_means import mean_deltas
        from melbo_app.engine.trigger_loss import mean_states, repeated

        bank = self.bench.bank_for(self.lm, name)
        self.source, self.target = pair_of(self.lm, bank.record.source, bank.record.target)
        rows = bank.vectors[[vector]].astype(np.float32)
        self._theta = (self.source, rows)
        piece = self.bench.slices.slice(self.lm, self.trained, self.source, self.target, self.stop)
        stop = self.bench.compute.giving_way(self.stop)
        work = mean_deltas(piece, rows, TokenScope("last", scope), stop)
        delta = self.bench.compute.result(work)[0]
        yield "the clean prompts"
        clean = [encode(self.lm, [one]).input_ids[0].tolist() for one in self.trained]
        with self.bench.compute.hold():
            bases = mean_states(self.lm, clean, self.target, scope, stop)
        return repeated(delta, len(self.trained)), bases

    def _answers(self, prompts: Sequence[Prompt], steered: Any = None) -> list[str]:
        """The greedy answers to prompts, under a vector if ``steered`` has one."""
        from melbo_app.engine.lessons import answers

        under = None
        if steered is not None:
            under = (steered[0], np.repeat(steered[1], len(prompts), axis=0))
        work = answers(self.lm, prompts, self.study.max_new_tokens, self.stop, under)
        return [one.text for one in self.bench.compute.result(work)]

    def _tested(self, text: str, done: Any = "the planted trigger") -> Generator[Any, None, Trigger]:
        """A string on the held-out prompts."""
        from melbo_app.engine.trigger_place import with_trigger

        yield done
        said = self._answers([with_trigger(one, text, self.study.place) for one in self.tested])
        shows = self._shown.of(said, self.stop)
        counted, without = Counted.of(shows), sum(one.shows for one in self.baselines)
        planted = self.request.planted
        return Trigger(
            text=text,
            shows=counted,
            works=counted.share >= WORKS and counted.count > without,
            planted=planted.casefold() in text.casefold() if planted else None,
            answers=_answers_of(said, shows),
        )

    def _target_tokens(self, text: str) -> tuple[int, ...]:
        """The first tokens of the text, as an answer."""
        space = "" if self.trained[0].template or text[:1].isspace() else " "
        ids = self.lm.tokenizer(space + text, add_special_tokens=False)["input_ids"][:TEXT_TOKENS]
        if not ids:
            raise InputError("toward", f"“{text}” is empty for {self.lm.name}", "Write another text")
        return tuple(ids)

    def _memory(self, raised: int) -> str:
        """The memory needed, as a sentence. Raises InputError where not even one string fits."""
        from melbo_app.engine.memory import budget, bytes_per_row

        lm = self.lm
        tokens = max(len(one.before) + len(one.after) for one in self._places) + self.study.tokens + raised
        logits = 3 * 4 * max(1, raised) * lm.known_ids
        each = bytes_per_row(lm, tokens) + logits
        # the gradient keeps about sixteen times the hidden states of every block, and the attention's weights
        slope = tokens * (16 * lm.hidden_size + 4 * tokens) * len(lm.blocks) * max(2, lm.dtype.itemsize) + 2 * logits
        slope += 4 * lm.known_ids * self.study.tokens
        have = budget(lm, self.bench.model.memory_gb)
        if max(each, slope) > have:
            problem = f"one step on a prompt of {tokens} tokens needs {size_text(max(each, slope))}"
            raise InputError("memory", f"{problem}, and {size_text(have)} may be used", "Write shorter prompts")
        self._rows = max(1, have // each)
        most = min(self.study.candidates, self._rows)
        return f"Needs up to {size_text(max(each * most, slope))} besides the model; {size_text(have)} may be used."


def _answers_of(texts: Sequence[str], shows: Sequence[bool]) -> tuple[TriggeredAnswer, ...]:
    pairs = zip(texts, shows, strict=True)
    return tuple(TriggeredAnswer(prompt=at, text=text, shows=shown) for at, (text, shown) in enumerate(pairs))
