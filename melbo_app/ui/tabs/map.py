"""Map: completions as points; near points say similar things."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from melbo_app.jobs.job import Job
from melbo_app.jobs.progress import Progress
from melbo_app.studies.map import DrawMap, Map, MapOf
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.forms import (
    Returning,
    asked_by,
    bank_chosen,
    chosen,
    decoding_from,
    prompts_from,
    radii_from,
    words_of,
)
from melbo_app.ui.guard import bind
from melbo_app.ui.present import day
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
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
COLOURINGS = [("by vector", "vector"), ("by R", "radius"), ("by label", "label")]
EMPTY = "Choose vectors at the left and one or several R, then draw the map."
ASIDE = "Click a point to read its completion."


class MapTab:
    """The second tab."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions, self._runs = workbench, session, completions, Runs()
        self._map = gr.State(None)
        self._trained = gr.State(None)  # the trained R that the fields were filled for
        self.last = gr.State(None)  # the map that was drawn last, until it is shown: its id, bank, R and trained R
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.draw = gr.Button("Draw map", variant="primary", elem_id="map-draw", scale=0, min_width=110)
            self.stop = gr.Button("Stop", elem_id="map-stop", scale=0, min_width=80)
            self.colour = gr.Radio(COLOURINGS, value="vector", label="Colour by", elem_id="map-colour", container=False)
            self.progress = progress_bar(resting(), elem_id="map-progress")
        with gr.Row(elem_classes="mx-fields"):
            self.radii = gr.Textbox(label="R, one or several", placeholder="8, 11, 14", elem_id="map-radii", scale=1)
            self.multiples = gr.CheckboxGroup(
                list(MULTIPLES), value=USUAL, label="Multiples of the trained R", elem_id="map-multiples", scale=2
            )
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=7, min_width=360):
                self.plot = plotly_view({"message": EMPTY}, elem_id="map-plot")
                self.note = note_view(elem_id="map-note")
            with gr.Column(scale=3, min_width=240):
                self.aside = completion_grid({"groups": [], "message": ASIDE}, elem_id="map-completion")

    def bind(self, tab: gr.Tab) -> None:
        """Bind drawing, colouring and clicking; when ``tab`` is opened first, the last map is shown."""
        session = self._session
        inputs = [
            *session.prompt_inputs, session.bank, session.vectors, self.radii, self._completions.control, self.colour,
            *self._completions.decoding_inputs,
        ]  # fmt: skip
        outputs = [self._map, self.plot, self.note, self.progress, self.aside]
        last = [self._map, self.last, self.colour]
        self._runs.bind(self.draw.click, self._draw, inputs, outputs, self.progress)
        self._runs.bind(tab.select, self._show_last, last, outputs, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.colour.change, self._paint, [self._map, self.colour], self.plot)
        fields = [self.radii, self.multiples, session.radius]
        # Without asking the server: a second box may be checked at once. Input would miss what is pasted or deleted.
        bind(self.multiples.input, None, fields, self.radii, js=_WITH_MULTIPLES)
        bind(self.radii.change, None, fields, self.multiples, js=_MULTIPLES_IN)
        column = [*fields, session.bank, self._trained, self.last]
        bind(session.radius.change, self._renew_radii, column, [self.radii, self.multiples, self._trained])
        bind(self.plot.point, self._open, None, self.aside)

    def bind_showing(self, trigger: Callable[..., Any], wanted: gr.State) -> None:
        """Bind an event after which the map of the comparison ``wanted`` is shown, if there is one wanted."""
        outputs = [self._map, self.plot, self.note, self.progress, self.aside]
        bind(trigger, self._show, [wanted, self.colour], outputs)

    def _renew_radii(
        self, text: str | None, chosen: list[str] | None, radius: dict[str, Any] | None, bank: str | None,
        before: float | None, last: dict[str, Any] | None,
    ) -> list[Any]:  # fmt: skip
        """Another bank has another R, and the last map had its own; what a person wrote stays."""
        trained = (radius or {}).get("trained")
        known = last["radii"] if last else None
        if trained == before:
            return [gr.skip()] * 3
        if before is None and last and last["bank"] == bank and known:
            return [known, _multiples_in(known, trained), trained]
        # No text: the tab was not opened yet.
        if text is not None and before is not None and text != known and not _only_multiples(text, before):
            return [gr.skip(), _multiples_in(text, trained), trained]
        if trained is None:
            return ["", [], None]
        names = [name for name in MULTIPLES if name in (chosen or USUAL)]
        return [", ".join(f"{trained * MULTIPLES[name]:.3g}" for name in names), names, trained]

    def find_last(self) -> dict[str, Any] | None:
        """The value of ``last`` for a page that is opened."""
        for line in self._workbench.comparisons("map", 1):
            radii = ", ".join(f"{one:.3g}" for one in line.settings.get("radii") or [])
            return {"id": line.id, "bank": line.bank, "radii": radii, "title": f"{line.bank}, {day(line.created)}"}
        return None

    def _show_last(
        self, request: gr.Request, present: Map | None, last: dict[str, Any] | None, colour: str
    ) -> Iterator[tuple[Any, ...]]:
        """Show the map that is being drawn, or was drawn last, when there is none on this page yet."""
        drawing = self._workbench.active_jobs("map")
        if present is not None or self._runs.busy(request) or (last is None and not drawing):
            yield (gr.skip(),) * 5
        elif drawing:
            yield from self._follow(request, drawing[-1], colour, own=False)
        elif last is not None:
            yield from self._redraw(request, last["id"], colour, last["title"])

    def _show(self, request: gr.Request, wanted: int | None, colour: str) -> Iterator[tuple[Any, ...]]:
        if wanted is None:
            yield (gr.skip(),) * 5
            return
        made = self._workbench.comparison(wanted)
        yield from self._redraw(request, wanted, colour, f"{made.settings['bank']}, {day(made.created)}")

    def _draw(
        self, request: gr.Request, text: str, system: str, template: str, bank: str | None, vectors: list[int],
        radii: str, control: bool, colour: str, *decoding: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        asked = DrawMap(
            bank=bank_chosen(bank),
            prompts=tuple(prompts_from(text, system, template)),
            vectors=tuple(chosen(vectors)),
            radii=tuple(radii_from(radii)),
            decoding=decoding_from(*decoding, control=control),
            random_control=control,
        )
        yield from self._follow(request, self._workbench.start(asked, who=asked_by(request)), colour, own=True)

    def _follow(
        self, request: gr.Request, job: Job[Progress, Map | None], colour: str, *, own: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        run = self._runs.follow(request, job, own=own)
        for bar, _ in run:
            yield _under_way(bar)
        if run.result:
            yield self._drawn(job.result, colour)

    def _redraw(self, request: gr.Request, comparison: int, colour: str, title: str) -> Iterator[tuple[Any, ...]]:
        """Show a map that was drawn before."""
        with self._runs.start(request) as stop:
            run = Returning(self._workbench.run(MapOf(comparison=comparison), stop=stop.is_set))
            for step in run:
                if self._runs.replaced(request, stop):
                    return
                yield _under_way(working(step.stage, step.done / max(1, step.total)))
        yield self._drawn(run.result, colour, title)

    def _drawn(self, drawn: Map | None, colour: str, title: str = "") -> tuple[Any, ...]:
        if drawn is None:
            return gr.skip(), gr.skip(), gr.skip(), resting("Stopped."), gr.skip()
        made = f"{drawn.method}. {drawn.note}" if drawn.method not in drawn.note else drawn.note
        made = f"{title}: {made}" if title else made
        nothing = {"groups": [], "message": ASIDE}
        said = f"{len(drawn.points)} completions{', not kept yet' if drawn.not_kept else ''}."
        return drawn, self._paint(drawn, colour), note(made), resting(said), nothing

    def _paint(self, drawn: Map | None, colour: Any) -> dict[str, Any]:
        from melbo_app.analysis.figures import map_figure  # late: plotly takes a second to import

        return figure_value(map_figure(drawn.points, colour)) if drawn else {"message": EMPTY}

    def _open(self, event: gr.EventData) -> dict[str, Any]:
        completion = self._workbench.completion(int(event.customdata[0]))
        value = grid([completion], self._session.names(completion.bank, completion.bank_hash))
        return {**value, "lines": 3}


def _under_way(bar: dict[str, Any]) -> tuple[Any, ...]:
    return gr.skip(), gr.skip(), gr.skip(), bar, gr.skip()


def _multiples_in(text: str | None, trained: float | None) -> list[str]:
    """Which multiples of the trained R stand in the R field."""
    return [name for name in MULTIPLES if any(_is(word, trained, name) for word in words_of(text))]


def _only_multiples(text: str, trained: float) -> bool:
    return all(any(_is(word, trained, name) for name in MULTIPLES) for word in words_of(text))


def _is(word: str, trained: float | None, name: str) -> bool:
    """Whether a word of the R field is that multiple of the trained R, which is written with three digits."""
    try:
        return trained is not None and abs(float(word) / (trained * MULTIPLES[name]) - 1) < CLOSE
    except ValueError:
        return False
