"""Map: completions as points, near each other where they say similar things."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.analysis.projection import MapPoint
from melbo_app.errors import MelboError
from melbo_app.jobs.job import Job
from melbo_app.studies.map import DrawMap, Map, MapOf
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.map_view import map_value, map_view
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.text_list import text_list
from melbo_app.ui.fields import button
from melbo_app.ui.forms import bank_chosen, chosen, radii_from, words_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import amount, day, first_line, sentence
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.workbench import Workbench

MULTIPLES = {"× ½": 0.5, "× ¾": 0.75, "× 1": 1.0, "× 1.4": 1.4, "× 2": 2.0}
USUAL = ["× ¾", "× 1", "× 1.4"]
CLOSE = 0.005  # two numbers with the same three digits differ by less
_FACTORS = f"""
  const factors = {json.dumps(MULTIPLES)}, names = Object.keys(factors), trained = radius?.trained;
  const words = (text ?? '').split(/[,;\\s]+/).filter(Boolean);
  const is = (word, name) => trained && Math.abs(Number(word) / (trained * factors[name]) - 1) < {CLOSE};
"""
_MULTIPLES_IN = f"""(text, chosen, radius) => {{ {_FACTORS}
  return [names.filter((name) => words.some((word) => is(word, name)))];
}}"""
_WITH_MULTIPLES = f"""(text, chosen, radius) => {{ {_FACTORS}
  if (!trained) return [text];
  const others = words.filter((word) => !names.some((name) => is(word, name)));
  const wanted = names.filter((name) => chosen.includes(name));
  const all = [...others, ...wanted.map((name) => String(Number((trained * factors[name]).toPrecision(3))))];
  return [all.sort((one, other) => Number(one) - Number(other)).join(', ')];
}}"""
COLOURINGS = [
    ("by vector", "vector"), ("by R", "radius"), ("by label", "label"), ("by readability", "verdict"),
    ("by cluster", "cluster"),
]  # fmt: skip
_RECOLOUR = "(colour) => { document.querySelector('#map-plot .mx')?.recolour?.(colour); return []; }"
LISTED = 200  # texts of a selection that are listed: nobody reads more
FIRST_LINE = 160
EMPTY = "Choose vectors and one or several R, then draw the map."
ASIDE: dict[str, Any] = {"groups": [], "message": "Click a point to read its text, or draw around several."}


class MapTab(JobTab):
    """The tab Map."""

    kind = "map"

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        super().__init__(workbench, session)
        self._completions = completions
        self._trained = gr.State(None)  # the trained R for which the fields were filled
        self.last = gr.State(None)  # the map that was drawn last, as ``find_last`` has it
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = button("Draw map", "map-draw", 110, variant="primary")
            self.stop = button("Stop", "map-stop", 80)
            self.colour = gr.Radio(COLOURINGS, value="vector", label="Colour by", elem_id="map-colour", container=False)
            self.fresh = gr.Checkbox(
                label="new layout", value=False, elem_id="map-fresh", container=False, min_width=100
            )
            self.progress = progress_bar(resting(), elem_id="map-progress")
        with gr.Row(elem_classes="mx-fields"):
            self.radii = gr.Textbox(label="R, one or several", placeholder="8, 11, 14", elem_id="map-radii", scale=1)
            self.multiples = gr.CheckboxGroup(
                list(MULTIPLES), value=USUAL, label="Multiples of the trained R", elem_id="map-multiples", scale=2
            )
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=7, min_width=360):
                self.plot = map_view({"message": EMPTY}, elem_id="map-plot", start="map-draw")
                self.note = note_view(elem_id="map-note")
            with gr.Column(scale=3, min_width=240):
                self.listing = text_list(elem_id="map-texts")
                self.aside = completion_grid(ASIDE, elem_id="map-completion")

    def bind(self, rooms: Rooms) -> None:
        """Bind drawing, colouring and clicking; when the view is opened first, the last map is shown."""
        session, completions = self._session, self._completions
        self.view_inputs = [self.colour, self.last]
        inputs = [*session.prompt_inputs, *session.bank_inputs, self.radii, self.fresh, *completions.decoding_inputs]
        self._views: list[Block] = [self.plot, self.note, self.aside, self.listing]
        self._bind_job(rooms.opened("map"), inputs, self._views)
        bind(self.colour.change, None, self.colour, None, js=_RECOLOUR)
        fields = [self.radii, self.multiples, session.radius]
        # In the browser alone, as a second box may be checked at once. Input would miss pasted and deleted text.
        bind(self.multiples.input, None, fields, self.radii, js=_WITH_MULTIPLES)
        bind(self.radii.change, None, fields, self.multiples, js=_MULTIPLES_IN)
        column = {*fields, self._trained, self.last}
        bind(session.radius.change, self._renew_radii, column, [self.radii, self.multiples, self._trained])
        bind(self.plot.point, self._open_point, None, [self.aside, self.listing])
        bind(self.plot.picked, self._list, self.shown, [self.aside, self.listing])
        bind(self.listing.pick, self._open_line, None, self.aside)

    def bind_showing(self, trigger: Callable[..., Any], wanted: gr.State) -> None:
        """Bind an event after which the map of the comparison ``wanted`` is shown, if there is one."""
        bind(trigger, self._show, [wanted, self.colour], [self.shown, self.progress, *self._views])

    def _renew_radii(self, values: Values) -> Changes:
        """Another bank has another R, and the last map had its own; R that a person wrote stay."""
        text, before, last = values[self.radii], values[self._trained], values[self.last]
        slider = values[self._session.radius] or {}  # it names its bank; the list may still show another one
        trained = slider.get("trained")
        known = last["radii"] if last else None
        if trained == before:
            return {}
        if before is None and last and last["bank"] == slider.get("bank") and known:
            return {self.radii: known, self.multiples: _multiples_in(known, trained), self._trained: trained}
        # No text: the tab was not opened yet.
        if text is not None and before is not None and text != known and not _only_multiples(text, before):
            return {self.multiples: _multiples_in(text, trained), self._trained: trained}
        if trained is None:
            return {self.radii: "", self.multiples: [], self._trained: None}
        names = [name for name in MULTIPLES if name in (values[self.multiples] or USUAL)]
        radii = ", ".join(f"{trained * MULTIPLES[name]:.3g}" for name in names)
        return {self.radii: radii, self.multiples: names, self._trained: trained}

    def find_last(self) -> dict[str, Any] | None:
        """The value of ``last`` for a page that is opened: the map's id, bank, R and title."""
        for line in self._workbench.comparisons("map", 1):
            radii = ", ".join(f"{one:.3g}" for one in line.settings.get("radii") or [])
            return {"id": line.id, "bank": line.bank, "radii": radii, "title": f"{line.bank}, {day(line.created)}"}
        return None

    def _study(self, values: Values) -> DrawMap:
        session = self._session
        return DrawMap(
            bank=bank_chosen(values[session.bank]),
            prompts=tuple(session.prompts(values)),
            vectors=tuple(chosen(values[session.vectors])),
            radii=tuple(radii_from(values[self.radii])),
            decoding=self._completions.decoding(values),
            random_control=values[self._completions.control],
            fresh=bool(values[self.fresh]),
        )

    def _is_current(self, values: Values) -> bool:
        return values[self.shown] is not None

    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        last = values[self.last] or self.find_last()  # an address may open this view before the page has answered
        if last is not None:
            yield from self._redraw(request, last["id"], values[self.colour], last["title"])

    def _show(self, request: gr.Request, wanted: int | None, colour: str) -> Iterator[Changes]:
        if wanted is not None:
            made = self._workbench.comparison(wanted)
            yield from self._redraw(request, wanted, colour, f"{made.settings['bank']}, {day(made.created)}")

    def _redraw(self, request: gr.Request, comparison: int, colour: str, title: str) -> Iterator[Changes]:
        """Show a map that was drawn before."""
        done = yield from self._runs.do(request, MapOf(comparison=comparison), self.progress, "starting")
        if done is not None:
            drawn, _ = done
            changes = self._drawn(drawn, colour, f"{title}: ") if drawn else {}
            yield {**changes, self.progress: resting(self._summary(drawn) if drawn else self.stopped)}

    def _draw(self, job: Job[Any, Any], part: Map, values: Values) -> Changes:
        return self._drawn(part, values[self.colour])

    def _drawn(self, drawn: Map, colour: str, title: str = "") -> Changes:
        drawn = self._named(drawn)
        made = f"{drawn.method}. {drawn.note}" if drawn.method not in drawn.note else drawn.note
        said = note(f"{title}{sentence(drawn.layout)} layout, {made}.", _clusters(drawn))
        plot = {**map_value(drawn, colour), "stamp": self._stamp(drawn)}
        return {self.shown: drawn, self.plot: plot, self.note: said, self.aside: ASIDE, self.listing: {}}

    def _named(self, drawn: Map) -> Map:
        """With the names of labels that this browser's annotator may see."""
        if self._session.find(drawn.bank) is None:
            return drawn
        names: dict[Any, str] = {**self._session.names(drawn.bank, drawn.bank_hash)}
        return replace(drawn, points=[replace(one, label=names.get(one.vector, "")) for one in drawn.points])

    def _stamp(self, drawn: Map) -> dict[str, Any] | None:
        """What made the map; its R are in a field of their own, so they are no part of it."""
        steered = next((point.id for point in drawn.points if isinstance(point.vector, int)), None)
        if steered is None:
            return None
        try:
            one = self._workbench.completion(steered)
        except MelboError:  # deleted meanwhile
            return None
        made = stamp([one], {}, own_norms=True)
        vectors = sorted({point.vector for point in drawn.points if isinstance(point.vector, int)})
        return {**made, "bank": drawn.bank, "prompts": drawn.prompts, "vectors": vectors}

    def _summary(self, drawn: Map) -> str:
        return f"{len(drawn.points)} completions{', not kept yet' if drawn.not_kept else ''}."

    def _open_point(self, event: gr.EventData) -> Changes:
        return {self.aside: self._opened(int(event.customdata[0])), self.listing: {}}

    def _open_line(self, event: gr.EventData) -> dict[str, Any]:
        return self._opened(int(event.id))

    def _opened(self, id: int) -> dict[str, Any]:
        completion = self._workbench.completion(id)
        value = grid([completion], self._session.names(completion.bank, completion.bank_hash))
        return {**value, "lines": 3}

    def _list(self, event: gr.EventData, drawn: Map | None) -> Changes:
        """List the texts that were selected on the map; none: the selection was cleared."""
        if drawn is None or not event.points:
            return {self.aside: ASIDE, self.listing: {}}
        found = [drawn.points[at] for at in event.points[:LISTED] if 0 <= at < len(drawn.points)]
        rows = [
            {
                "id": point.id,
                "head": _headline(point),
                "text": first_line(point.text, FIRST_LINE) or "(empty text)",
                "cell": {"vector": point.vector, "radius": point.radius, "prompt": drawn.prompts[point.prompt_index]},
            }
            for point in found
        ]
        count, rest = len(event.points), len(event.points) - len(found)
        title = f"{count} text{'s' * (count != 1)} selected"
        listed = {"title": title, "rows": rows, "more": f"and {rest} more" if rest else "", "bank": drawn.bank}
        return {self.aside: ASIDE, self.listing: listed}


def _headline(point: MapPoint) -> str:
    if point.vector is None:
        return "baseline"
    who = "random control" if point.vector == "random" else f"vector {point.vector}"
    return f"{who} · R {amount(point.radius, 4)}"


def _clusters(drawn: Map) -> str:
    if not drawn.clusters:
        return "No clusters: too few texts say similar things."
    alone = sum(point.cluster is None for point in drawn.points)
    rest = f", {alone} of the texts in none" if alone else ""
    return f"{len(drawn.clusters)} clusters of texts (HDBSCAN on the embeddings, not on the picture){rest}."


def _multiples_in(text: str | None, trained: float | None) -> list[str]:
    """The multiples of the trained R that the R field holds."""
    return [name for name in MULTIPLES if any(_is(word, trained, name) for word in words_of(text))]


def _only_multiples(text: str, trained: float) -> bool:
    return all(any(_is(word, trained, name) for name in MULTIPLES) for word in words_of(text))


def _is(word: str, trained: float | None, name: str) -> bool:
    """Whether a word of the R field is that multiple of the trained R, rounded to three digits."""
    try:
        return trained is not None and abs(float(word) / (trained * MULTIPLES[name]) - 1) < CLOSE
    except ValueError:
        return False
