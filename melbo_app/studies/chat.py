"""Chat: the next answer of a conversation, with a vector and without, in one pass."""

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from melbo_app.engine.chat_prompt import ChatPrompt
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.template_choice import FIELD, TemplateChoice
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank
from melbo_app.library.conversation import Conversation, Making, Sample, Turn
from melbo_app.studies.completing import Variant, theta_of, variants
from melbo_app.studies.scoring import scores_of, target_of

if TYPE_CHECKING:
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.generation import GenerationProgress
    from melbo_app.engine.likelihood import Likelihood
    from melbo_app.engine.model import LanguageModel

NOTHING = "Stopped before the first token: the message is kept, and has no answer yet."


@dataclass(frozen=True)
class ChatProgress:
    """The two texts so far. ``conversation`` and ``message`` are None until the message is stored."""

    stage: str
    done: int = 0
    total: int = 1
    conversation: int | None = None
    message: int | None = None
    steered: str = ""
    baseline: str = ""


@dataclass(frozen=True)
class Answered:
    """Where the answer is stored."""

    conversation: int
    turn: int


class Chat(Study[Answered]):
    """Answer a message of a conversation under a vector, and beside it without.

    Each column goes on from its own earlier answers.
    """

    kind: ClassVar[str] = "chat"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    conversation: int | None = Field(None, description="number of the conversation; left out: a new one")
    parent: int | None = Field(None, description="the answer after which the message stands; left out: it is the first")
    text: str | None = Field(None, description="the message; left out: that of ``message``")
    message: int | None = Field(None, description="a message that is stored, to be answered (again)")
    bank: str | None = Field(None, description="name of the bank")
    vector: int | None = Field(None, description="number of the vector; left out: none")
    radius: float | None = Field(None, description="R, possibly negative; left out: the vector's own norm")
    system: str | None = None
    template: bool | str = True
    think: bool | None = Field(None, description="whether the model thinks, where its template has a switch for it")
    decoding: Decoding = Decoding()
    who: str = ""

    def check(self, bench: Bench) -> None:
        if self.message is None and not (self.text or "").strip():
            raise InputError("message", "it is empty", "Write what the model should answer")
        self.variant(bench.banks.load(self.bank) if self.bank and self.vector is not None else None)

    def variant(self, bank: Bank | None) -> Variant:
        """How the left column is steered. Raises InputError for a missing vector, or an R that cannot be used."""
        chosen = [] if self.vector is None else [self.vector]
        return variants(bank, chosen, None if self.radius is None else [self.radius])[-1]

    def run(self, bench: Bench, stop: Stop) -> Generator[ChatProgress, None, Answered]:
        from melbo_app.engine.trace import Trace

        if not bench.model.state().loaded:
            yield ChatProgress("loading the model")
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank) if self.bank and self.vector is not None else None
        variant, found = self.variant(bank), self._found(bench)
        message = None if found is None or self.message is None else _message(found, self.message)
        parent, text = (self.parent, self.text or "") if message is None else (message.parent, message.text)
        before = [] if found is None or parent is None else found.branch(parent)
        template = self._template(lm)
        encoded = _encoded(lm, before, Prompt(text, self.system, template), self.decoding)
        making = self._making(lm, bank if variant.vector is not None else None, variant, template)
        if found is not None and message is not None:
            making = _unlike(making, [one for one in found.turns if one.parent == message.id])
        number = bench.conversations.begin(text, self.who) if found is None else found.id
        asked = bench.conversations.add_message(number, parent, text) if message is None else message.id
        yield ChatProgress("reading the conversation", conversation=number, message=asked)
        thetas = np.stack([theta_of(lm, bank, one, making.seed) for one in (variant, Variant(None, 0.0))])
        decoding = replace(self.decoding, seed=making.seed)
        target = target_of(len(lm.blocks), bank)
        generating = bench.batching.generate(
            lm, encoded, thetas, making.source, decoding, stop, [0, 1], Trace(target)
        )  # fmt: skip
        last: GenerationProgress | None = None
        found_back: list[Likelihood] | None = None
        turn: int | None = None
        try:
            with closing(generating):
                while True:
                    try:
                        last = next(generating)
                    except StopIteration as end:
                        found_back = end.value
                        break
                    stage = "reading the texts back" if last.whole else f"token {last.step} of up to {last.total}"
                    yield ChatProgress(stage, last.step, last.total, number, asked, *last.texts)
        finally:  # also where the page was left
            if last is not None:
                written = zip(last.texts, last.tokens, last.finished, strict=True)
                samples = [Sample(text=text, tokens=many, finished=end) for text, many, end in written]
                steered, baseline = _scored(samples, found_back, target if making.vector is not None else None)
                turn = bench.conversations.add_answer(number, asked, steered, baseline, making)
        if turn is None:
            raise Stopped(NOTHING)
        return Answered(number, turn)

    def answer(self, result: Answered, not_kept: str | None) -> Any:
        return {"conversation": result.conversation, "turn": result.turn}

    def _found(self, bench: Bench) -> Conversation | None:
        if self.conversation is None:
            if self.parent is not None or self.message is not None:
                raise InputError("conversation", "it is missing", "Name the one that the turn belongs to")
            return None
        found = bench.conversations.get(self.conversation)
        parent = found.turn(self.parent)
        if self.parent is not None and (parent is None or parent.role != "assistant"):
            raise InputError("turn", f"the conversation has no answer {self.parent}", "Choose one that is shown")
        return found

    def _template(self, lm: "LanguageModel") -> bool | str:
        """The chat template with the choice of thinking, and with today's date if it writes one. Raises InputError
        where there is none."""
        from melbo_app.engine.chat_template import pinned, thinking

        if not lm.has_template:
            problem = f"{lm.name} has no chat template, so it does not know where a message ends"
            raise InputError("chat", problem, "Load a model that was trained to chat; Grid completes plain texts")
        if not self.template:
            raise InputError(FIELD, "it is off, and a conversation needs it", "Switch it on below the prompt (⋯)")
        switch = None if self.think is None else thinking(lm.tokenizer, self.template)
        template = self.template
        if switch is not None and self.think is not None:
            choice = TemplateChoice.of(template)
            template = str(replace(choice, options={**choice.options, switch: self.think}))
        return pinned(lm, Prompt("", template=template), date.today()).template

    def _making(self, lm: "LanguageModel", bank: Bank | None, variant: Variant, template: bool | str) -> Making:
        steered = bank is not None and isinstance(variant.vector, int)
        return Making(
            bank=bank.record.name if bank else None,
            bank_hash=bank.hash if bank else None,
            vector=variant.vector if steered and isinstance(variant.vector, int) else None,
            radius=variant.radius if steered else 0.0,
            source=bank.record.source if bank else None,
            system=self.system or None,
            template=template if isinstance(template, str) else None,
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            max_new_tokens=self.decoding.max_new_tokens,
            temperature=self.decoding.temperature,
            top_p=self.decoding.top_p,
            seed=self.decoding.seed,
        )


def _scored(samples: Sequence[Sample], found: "Sequence[Likelihood] | None", target: int | None) -> list[Sample]:
    """The text with the vector and the one without, each with its scores if they were read back."""
    if found is None:
        return list(samples)
    usual = found[1].logprob if math.isfinite(found[1].logprob or 0.0) else None
    return [
        one.model_copy(update={"scores": scores_of(one, likelihood, usual, at)})
        for one, likelihood, at in zip(samples, found, (target, None), strict=True)
    ]


def _message(found: Conversation, id: int) -> Turn:
    message = found.turn(id)
    if message is None or message.role != "user":
        raise InputError("turn", f"the conversation has no message {id}", "Choose one that is shown")
    return message


def _unlike(making: Making, answers: Sequence[Turn]) -> Making:
    """The same with the next seed that no answer has yet. Raises InputError where the seed changes nothing."""
    if making.temperature > 0:
        seeds = {one.making.seed for one in answers if one.making is not None}
        return making if making.seed not in seeds else making.model_copy(update={"seed": max(seeds) + 1})
    whole = [one.making for one in answers if one.making is not None and not _is_cut(one)]
    same = {"seed": 0, "top_p": 1.0, "bank": None}  # what greedy decoding does not depend on
    if any(one.model_copy(update=same) == making.model_copy(update=same) for one in whole):
        remedy = "Choose sampled decoding in Grid, another vector or another R"
        raise InputError("answer", "greedy decoding would write the same text again", remedy)
    return making


def _is_cut(answer: Turn) -> bool:
    """Whether a stop cut one of the two texts."""
    assert answer.making is not None, "a message is never cut"
    texts = [one for one in (answer.steered, answer.baseline) if one is not None]
    return any(not one.finished and one.tokens < answer.making.max_new_tokens for one in texts)


def _encoded(lm: "LanguageModel", before: Sequence[Turn], asked: Prompt, decoding: Decoding) -> "EncodedPrompts":
    """The conversation as the two columns have it. Raises InputError where it does not fit the model's context."""
    from melbo_app.engine import chat_template
    from melbo_app.engine.encoding import encode

    columns: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for message, answer in zip(before[::2], before[1::2], strict=True):
        for column, sample in zip(columns, (answer.steered, answer.baseline), strict=True):
            column.append((message.text, sample.text if sample else ""))
    prompts = [ChatPrompt(asked.user, asked.system, asked.template, tuple(column)) for column in columns]
    for prompt in prompts if lm.context is not None else ():
        text = chat_template.render(lm, prompt).text
        many = len(lm.tokenizer(text, add_special_tokens=False)["input_ids"])
        if lm.context is not None and many + decoding.max_new_tokens > lm.context:
            problem = f"it has {many:,} tokens, and with {decoding.max_new_tokens:,} new ones it exceeds the"
            problem += f" {lm.context:,} that {lm.name} reads"
            raise InputError(
                "conversation", problem, "Edit an earlier message, ask for fewer new tokens, or begin anew"
            )
    return encode(lm, prompts)
