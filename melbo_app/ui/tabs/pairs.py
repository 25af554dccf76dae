"""Two vectors side by side: what they say, whether they are the same, and one vector for both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.blocks import Block

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.merging import merging
from melbo_app.studies.similarity import Similarity
from melbo_app.studies.steer import Steer
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.pair_list import pair_list
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import amount, first_line
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

LEAST, MOST_PAIRS = 0.3, 500
"""The lowest threshold that can be chosen, and the pairs that are sent at most."""
ASK = {"groups": [], "message": "Click a cell to read its two vectors side by side."}
OF_PROMPT = 200  # newest texts of a vector among which those of a prompt are looked for


@dataclass(frozen=True)
class Compared:
    """A comparison as it was made: another bank or prompt may be chosen by now."""

    bank: str
    bank_hash: str
    prompts: tuple[Prompt, ...]
    found: Similarity


class Pairs:
    """The part of the tab Similarity below the heat maps."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self.list = pair_list(elem_id="similarity-pairs")
        self.note = note_view(elem_id="similarity-pair")
        self.texts = completion_grid(ASK, elem_id="similarity-texts")
        self.outputs: list[Block] = [self.list, self.note, self.texts]

    def bind(self, compared: gr.State, maps: Sequence[gr.HTML], progress: gr.HTML) -> None:
        """Bind clicks on cells of the ``maps`` and the buttons of the pairs; ``progress`` shows a merge."""
        self._compared, self._progress = compared, progress
        for plot in maps:
            bind(plot.point, self._click, compared, [self.note, self.texts], trigger_mode="always_last")
        bind(self.list.look, self._look, compared, [self.note, self.texts])
        marked = bind(self.list.mark, self._mark, compared, [self.list, self.note])
        session = self._session
        bind(marked.success, session.show_labels, [session.bank, session.radius], session.vectors)
        outputs = [*self.outputs, progress, self._session.bank]
        self._runs.bind(self.list.merge, self._merge, {compared}, outputs, progress)

    def show(self, compared: Compared) -> Changes:
        """List the pairs of another comparison."""
        return {self.list: self._listed(compared), self.note: note(), self.texts: ASK}

    def _listed(self, compared: Compared) -> dict[str, Any]:
        found, labels = compared.found, self._workbench.bank_labels(compared.bank, seen_by=annotator(self._workbench))
        tags = {vector: label.tags for vector, label in labels.items()}
        rows, columns = np.triu_indices(len(found.delta), 1)
        near = np.argsort(-found.delta[rows, columns], kind="stable")[:MOST_PAIRS]
        pairs = []
        for one, other in ((int(rows[at]), int(columns[at])) for at in near):
            if found.delta[one, other] < LEAST:
                break
            texts = None if found.texts is None else float(found.texts[one, other])
            pairs.append(
                {
                    "one": one, "other": other, "delta": float(found.delta[one, other]),
                    "theta": float(found.theta[one, other]), "texts": texts if texts == texts else None,
                    "same": _same(other) in tags.get(one, ()) or _same(one) in tags.get(other, ()),
                    "proposed": f"{compared.bank}-{one}-{other}",
                }
            )  # fmt: skip
        names = {str(vector): label.name for vector, label in labels.items()}
        return {"bank": compared.bank, "pairs": pairs, "names": names}

    def _click(self, event: gr.EventData, compared: Compared | None) -> Changes:
        one, other = event.customdata
        return self._side_by_side(compared, int(one), int(other))

    def _look(self, event: gr.EventData, compared: Compared | None) -> Changes:
        return self._side_by_side(compared, int(event.one), int(event.other))

    def _side_by_side(self, compared: Compared | None, one: int, other: int) -> Changes:
        held, bank = self._still(compared)
        texts = self._texts(held, bank, one, other)
        missing = [vector for vector in dict.fromkeys((one, other)) if vector not in {text.vector for text in texts}]
        said = [f"Vector {vector} has no stored text yet: choose it and press Steer." for vector in missing]
        return {
            self.note: note(_cosines(held.found, one, other), *said, tone="plain"),
            self.texts: self._cards(held, texts),
        }

    def _mark(self, event: gr.EventData, compared: Compared | None) -> Changes:
        """Tag the labels of both, or take the tags away again; all else that the labels hold stays."""
        held, _ = self._still(compared)
        one, other, me = int(event.one), int(event.other), annotator(self._workbench)
        for vector, twin in ((one, other), (other, one)):
            label = self._workbench.own_label(held.bank, vector, me)
            tags = {*label.tags} | {_same(twin)} if event.same else {*label.tags} - {_same(twin)}
            self._workbench.save_label(
                held.bank, vector, name=label.name, tags=sorted(tags), rating=label.rating, note=label.note, seen=label,
                annotator=me,
            )  # fmt: skip
        done = (
            f"Vectors {one} and {other} are tagged as the same."
            if event.same
            else "The tags are gone from both labels."
        )
        return {self.list: self._listed(held), self.note: note(done, tone="plain")}

    def _merge(self, request: gr.Request, event: gr.EventData, values: Values) -> Iterator[Changes]:
        """Save the bank in which one vector stands for two, and steer with it again."""
        held, bank = self._still(values[self._compared])
        one, other = int(event.one), int(event.other)
        plan = merging(bank, one, other)
        made = self._workbench.combine_banks(plan.formula, event.name.strip(), note=plan.note)
        name = made.record.name
        before = self._texts(held, bank, one, other)
        said = f"“{name}” is saved with {len(made.vectors)} vectors. {plan.note}"
        yield {self.note: note(said, tone="plain"), self._session.bank: self._session.list_banks()}
        decoding = Decoding()
        if before:
            like = before[0]
            decoding = Decoding(like.max_new_tokens, like.temperature, like.top_p, like.seed)
        study = Steer(bank=name, prompts=held.prompts[:1], vectors=(plan.place,), decoding=decoding)
        done = yield from self._runs.do(request, study, self._progress, "steering the merged vector")
        if done is None:
            return
        steered = [text for text in done[0].completions if text.vector == plan.place]
        shown = self._cards(held, before)
        merged = grid(
            [text.model_copy(update={"prompt_index": 9}) for text in steered], {}, title=f"Merged, in “{name}”"
        )
        groups = [*shown["groups"], *merged["groups"]]
        yield {self.texts: {**merged, "groups": groups}, self._progress: resting("Merged.")}

    def _still(self, compared: Compared | None) -> tuple[Compared, Bank]:
        """The comparison that is shown and its bank. Raises InputError if the bank is another one by now."""
        if compared is None:
            raise InputError("similarity", "nothing is compared yet", "Press Compare")
        bank = self._workbench.bank(compared.bank)
        if bank.hash != compared.bank_hash:
            raise InputError("similarity", f"another bank has replaced “{compared.bank}”", "Press Compare again")
        return compared, bank

    def _texts(self, compared: Compared, bank: Bank, one: int, other: int) -> list[Completion]:
        """The newest text of each vector on the compared prompt, else on one of the bank's; of one R if possible."""
        asked = [(prompt.user, prompt.system or None) for prompt in compared.prompts]
        asked += [(prompt.user, prompt.system or None) for prompt in bank.record.prompts]
        for user, system in dict.fromkeys(asked):
            found = [self._of(compared.bank, vector, user, system) for vector in dict.fromkeys((one, other))]
            if not any(found):
                continue
            radii = set.intersection(*({text.radius for text in texts} for texts in found))
            return [next((text for text in texts if text.radius in radii), texts[0]) for texts in found if texts]
        return []

    def _of(self, bank: str, vector: int, user: str, system: str | None) -> list[Completion]:
        found = self._workbench.search_completions(user[:500], bank=bank, vector=vector, limit=OF_PROMPT)
        return [text for text in found if (text.prompt.user, text.prompt.system or None) == (user, system)]

    def _cards(self, compared: Compared, texts: Sequence[Completion]) -> dict[str, Any]:
        if not texts:
            return {"groups": [], "message": "Neither has a stored text on this prompt or the bank's own."}
        asked = texts[0].prompt.user
        whose = "" if asked in {prompt.user for prompt in compared.prompts} else ", a prompt of the bank"
        title = f"“{first_line(asked)}”{whose}"
        names = self._session.names(compared.bank, compared.bank_hash)
        return {**grid([text.model_copy(update={"prompt_index": 0}) for text in texts], names, title=title), "lines": 3}


def _same(vector: int) -> str:
    return f"same as {vector}"


def _cosines(found: Similarity, one: int, other: int) -> str:
    texts = None if found.texts is None else float(found.texts[one, other])
    said = "no texts to compare" if texts is None or texts != texts else f"texts {amount(texts, 2)}"
    numbers = f"δ {amount(float(found.delta[one, other]), 2)} · θ {amount(float(found.theta[one, other]), 2)} · {said}"
    return f"Vectors {one} and {other}: cosines {numbers}" if one != other else f"Vector {one}"
