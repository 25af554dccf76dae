"""The panel below a diversity curve: one point, or one rule's R, and what to do with it."""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import cusps
from melbo_app.analysis.radius_choice import figures
from melbo_app.errors import InputError
from melbo_app.library.curves import KeptCurve
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import small_button
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import amount, radius_text
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.taking import save_as_bank
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

Picked = tuple[float, int | None, int]
"""R as a multiple of the median norm, the place of the point (None: a rule's R), and 1 for the control, else 0."""
HOW = "Click a point of the curve to see its figures, take its R, or read its texts."


class CurvePointPanel:
    """The panel; ``picked`` is the R that it offers."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, form: TrainingForm) -> None:
        self._workbench, self._session, self._completions, self._form = workbench, session, completions, form
        self.picked = gr.State(None)
        with gr.Row(elem_classes="mx-toolbar mx-picked", equal_height=True):
            self.said = note_view(note(HOW), elem_id="curve-point")
            self.take = small_button("Take this R", "curve-take", 110, visible=False)
            self.open = small_button("Open in Read", "curve-open", 120, visible=False)
            self.save = small_button("Save as bank", "curve-save", 120, visible=False)
        self.note = note_view(elem_id="curve-note")
        self.outputs: list[Block] = [self.picked, self.said, self.take, self.open, self.save, self.note]
        self.used_outputs: list[Block] = [*form.place_outputs, session.radius, self.note]

    def bind(self, plot: gr.HTML, table: gr.HTML, shown: gr.State, rooms: Rooms) -> None:
        """Bind picking and the buttons; ``shown`` has the curve."""
        session, completions = self._session, self._completions
        self._rooms = rooms
        bind(plot.point, self._pick_point, [shown], self.outputs)
        bind(table.pick, self._pick_rule, [shown], self.outputs)
        opened = [*rooms.outputs, *completions.opened_outputs]
        bind(self.open.click, self._open, [shown, self.picked], opened)
        bind(self.save.click, self._save, [shown, self.picked], [*session.bank_outputs, self.save, self.note])
        bind(self.take.click, self._take, [shown, self.picked, session.radius], self.used_outputs)

    def empty(self) -> Changes:
        """Nothing is picked."""
        return {**self._offer(None, note(HOW)), self.note: note()}

    def _offer(self, picked: Picked | None, said: dict[str, Any], *, unsaved: bool = False) -> Changes:
        """The panel for a point or a rule's R; a rule's has no texts."""
        has_texts = picked is not None and picked[1] is not None
        return {
            self.picked: picked,
            self.said: said,
            self.take: gr.Button(visible=picked is not None),
            self.open: gr.Button(visible=has_texts),
            self.save: gr.Button(visible=has_texts and unsaved),
        }

    def _pick_point(self, event: gr.EventData, kept: KeptCurve | None) -> Changes:
        """Show the figures of a point of the curve or of its control."""
        curve, (place, control) = curve_of(kept), map(int, event.customdata)
        point = curve.points[place]
        who = "random vectors" if control else "vectors of the curve"
        one = point.control if control else point.vectors
        lost = [f"loss {amount(one.loss)} nats a token"] if one.loss is not None else []
        lost += [f"KL {amount(one.kl)} nats"] if one.kl is not None else []
        lines = [
            f"{who.capitalize()} at {radius_text(point.radius, curve.median_norm)}: "
            f"{figures(point, control=bool(control))}.",
            f"Diversity {amount(one.summed_variance)}; {', '.join(lost) or 'not scored'}.",
        ]
        unsaved = self._workbench.bank_with(self._hash(point.comparisons[control])) is None
        return self._offer((point.relative_radius, place, control), note(*lines, tone="plain"), unsaved=unsaved)

    def _pick_rule(self, event: gr.EventData, kept: KeptCurve | None) -> Changes:
        """Offer the R of a line of the table."""
        cusp = next((one for one in cusps(curve_of(kept).arrays()) if one.detector == event.key), None)
        if cusp is None or cusp.radius is None:
            return self._offer(None, note(cusp.reason[:1].upper() + cusp.reason[1:] + "." if cusp else HOW))
        return self._offer((cusp.radius, None, 0), note(f"R {amount(cusp.radius)} × the median norm: {cusp.reason}."))

    def _hash(self, comparison: int) -> str | None:
        texts = self._workbench.comparison(comparison).completions
        return next((one.bank_hash for one in texts if one.vector is not None), None)

    def _open(self, kept: KeptCurve | None, picked: Picked | None) -> Changes:
        """Open the completions behind a point, of the vectors or of the random ones; of several seeds, the first.

        They have names of their own: the context line keeps its bank if they belong to none on the shelf.
        """
        curve = curve_of(kept)
        if picked is None or picked[1] is None:
            raise InputError("point", "none is chosen", "Click one of the curve")
        point, control = curve.points[picked[1]], picked[2]
        who = "random vectors" if control else "vectors"
        entry = f"Curve, {who} at R {amount(point.radius)}"
        return {
            **self._rooms.show("completions"),
            **self._completions.opened(point.comparisons[control], entry),
        }

    def _save(self, kept: KeptCurve | None, picked: Picked | None) -> Changes:
        """Put the vectors of a point on the shelf, and choose them."""
        curve = curve_of(kept)
        if picked is None or picked[1] is None:
            raise InputError("point", "none is chosen", "Click one of the curve")
        point = curve.points[picked[1]]
        changes = save_as_bank(
            self._workbench, self._session, self._hash(point.comparisons[picked[2]]), float(amount(point.radius))
        )
        return {
            **changes,
            self.save: gr.Button(visible=False),
            self.note: note("Saved as a bank, which is chosen now; it can be renamed in Banks.", tone="plain"),
        }

    def _take(self, kept: KeptCurve | None, picked: Picked | None, slider: dict[str, Any] | None) -> Changes:
        """Take the R in the panel."""
        return self.at(kept, picked and picked[0], slider)

    def at(self, kept: KeptCurve | None, relative: float | None, slider: dict[str, Any] | None) -> Changes:
        """Put an R into the form and, if a bank is chosen, on the slider."""
        curve = curve_of(kept)
        if relative is None:
            raise InputError("R", "none is chosen", "Click a point of the curve")
        radius = relative * curve.median_norm
        target = curve.source if curve.target is None else curve.target
        changes = self._form.place(curve.source, target, radius, curve.median_norm)
        message = f"{radius_text(radius, curve.median_norm)} is in the form"
        bank = (slider or {}).get("bank")
        if slider and bank:
            record = self._workbench.bank(bank).record
            norm = curve.median_norm if record.source == curve.source else record.median_norm
            if norm:
                radius = float(amount(relative * norm))
                changes[self._session.radius] = {**slider, "radius": radius}
                message += f", and {radius_text(radius, norm)} on the slider of “{bank}”"
        return {**changes, self.note: note(f"{message}.", tone="plain")}


def curve_of(kept: KeptCurve | None) -> DiversityCurve:
    """The curve that the page shows. Raises InputError without one."""
    if kept is None:
        raise InputError("R", "there is no curve yet", "Press Measure")
    return kept.curve
