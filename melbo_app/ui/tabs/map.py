"""Map: completions as points; near points say similar things."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.jobs.mapping import Map
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.forms import Returning, bank_chosen, chosen, decoding_from, prompts_from, radii_from
from melbo_app.ui.guard import bind
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench

MULTIPLES = {"× ½": 0.5, "× ¾": 0.75, "× 1": 1.0, "× 1.4": 1.4, "× 2": 2.0}
USUAL = ["× ¾", "× 1", "× 1.4"]
COLOURINGS = [("by vector", "vector"), ("by R", "radius"), ("by label", "label")]
EMPTY = "Choose vectors at the left and one or several R, then draw the map."
ASIDE = "Click a point to read its completion."


class MapTab:
    """The second tab."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions, self._runs = workbench, session, completions, Runs()
        self._map = gr.State(None)
        self._offered = gr.State("")  # the radii that the page wrote
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

    def bind(self) -> None:
        """Bind drawing, colouring and clicking."""
        session = self._session
        inputs = [
            *session.prompt_inputs, session.bank, session.vectors, self.radii, self._completions.control, self.colour,
            *self._completions.decoding_inputs,
        ]  # fmt: skip
        run = bind(
            self.draw.click, self._draw, inputs, [self._map, self.plot, self.note, self.progress, self.aside],
            trigger_mode="multiple", concurrency_limit=8,
        )  # fmt: skip
        bind(run.failure, lambda: resting("Not finished."), None, self.progress)
        bind(self.stop.click, self._stop, None, self.progress)
        bind(self.colour.change, self._paint, [self._map, self.colour], self.plot)
        offered = [self.radii, self._offered]
        bind(self.multiples.input, self._fill_radii, [self.multiples, session.radius], offered)
        bind(session.radius.change, self._renew_radii, [self.multiples, session.radius, *offered], offered)
        bind(self.plot.point, self._open, None, self.aside)

    def _fill_radii(self, multiples: list[str], radius: dict[str, Any] | None) -> list[str]:
        """The R field's text for multiples of the bank's R, twice: in the field, and remembered as offered."""
        trained = (radius or {}).get("trained")
        radii = [trained * MULTIPLES[one] for one in MULTIPLES if one in multiples] if trained else []
        return [", ".join(f"{one:.3g}" for one in radii)] * 2

    def _renew_radii(self, multiples: list[str], radius: dict[str, Any] | None, text: str, offered: str) -> Any:
        """Another bank has another R; what a person wrote stays."""
        return [gr.skip()] * 2 if (text or "") != offered else self._fill_radii(multiples, radius)

    def _draw(
        self, request: gr.Request, text: str, system: str, template: bool, bank: str | None, vectors: list[int],
        radii: str, control: bool, colour: str, *decoding: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        arguments = (bank_chosen(bank), prompts_from(text, system, template), chosen(vectors), radii_from(radii))
        how = decoding_from(*decoding)
        with self._runs.start(request) as stop:
            run = Returning(self._workbench.map(*arguments, how, random_control=control, stop=stop.is_set))
            for step in run:
                if self._runs.replaced(request, stop):
                    return
                progress = working(step.stage, step.done / max(1, step.total))
                yield gr.skip(), gr.skip(), gr.skip(), progress, gr.skip()
        drawn: Map | None = run.result
        if drawn is None:
            yield gr.skip(), gr.skip(), gr.skip(), resting("Stopped."), gr.skip()
            return
        made = f"{drawn.method}. {drawn.note}" if drawn.method not in drawn.note else drawn.note
        nothing = {"groups": [], "message": ASIDE}
        yield drawn, self._paint(drawn, colour), note(made), resting(f"{len(drawn.points)} completions."), nothing

    def _paint(self, drawn: Map | None, colour: Any) -> dict[str, Any]:
        from melbo_app.analysis.figures import map_figure  # late: plotly takes a second to import

        return figure_value(map_figure(drawn.points, colour)) if drawn else {"message": EMPTY}

    def _open(self, event: gr.EventData) -> dict[str, Any]:
        completion = self._workbench.completion(int(event.customdata[0]))
        value = grid([completion], self._session.names(completion.bank))
        return {**value, "lines": 3}

    def _stop(self, request: gr.Request) -> dict[str, Any]:
        return working("Stopping") if self._runs.stop(request) else resting("Nothing is under way.")
