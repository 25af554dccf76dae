"""The room Audit: its views, and the events between them and the rest of the page."""

import gradio as gr

from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.audit import AuditTab
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.harden import HardenTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.organisms import OrganismsTab
from melbo_app.ui.tabs.parts import PartsTab
from melbo_app.ui.tabs.reliability import ReliabilityTab
from melbo_app.ui.tabs.removal import RemovalTab
from melbo_app.ui.tabs.triggers import TriggersTab
from melbo_app.ui.tabs.watch import WatchTab
from melbo_app.workbench import Workbench


class AuditRoom:
    """The views of the room Audit. ``job_views`` has those of jobs, by the kind of the job, with the view's name."""

    def __init__(self, workbench: Workbench, session: Session, rooms: Rooms) -> None:
        self._rooms = rooms
        with rooms.room("audit"):
            with rooms.view("audit"):
                self.audit = AuditTab(workbench, session)
            with rooms.view("watch"):
                self.watch = WatchTab(workbench, session)
            with rooms.view("organisms"):
                self.organisms = OrganismsTab(workbench)
            with rooms.view("reliability"):
                self.reliability = ReliabilityTab(workbench, session)
            with rooms.view("parts"):
                self.parts = PartsTab(workbench, session)
            with rooms.view("triggers"):
                self.triggers = TriggersTab(workbench, session)
            with rooms.view("harden"):
                self.harden = HardenTab(workbench, session)
            with rooms.view("removal"):
                self.removal = RemovalTab(workbench, session)
        self.job_views: dict[str, tuple[JobTab, str]] = {
            "audit": (self.audit, "audit"), "reliability": (self.reliability, "reliability"),
            "parts": (self.parts, "parts"), "triggers": (self.triggers, "triggers"),
            "harden": (self.harden, "harden"), "removal": (self.removal, "removal"),
        }  # fmt: skip

    def bind(self, completions: CompletionsTab, wake: gr.Timer) -> None:
        """Bind all views; ``wake`` is the timer that watches the model."""
        self.audit.bind(self._rooms, completions)
        self.watch.bind(self._rooms, completions)
        self.organisms.bind(self._rooms, wake)
        self.reliability.bind(self._rooms)
        self.parts.bind(self._rooms)
        self.triggers.bind(self._rooms)
        self.harden.bind(self._rooms, wake)
        self.removal.bind(self._rooms)
