"""What an audit has gathered so far."""

from dataclasses import dataclass, field

from melbo_app.library.audits import Alarm, AuditedBehaviour, AuditedPrompt, WatchingBank
from melbo_app.library.explorations import Exploration
from melbo_app.studies.as_json import one_line
from melbo_app.studies.audit_press import behaviours_of, pressed


@dataclass
class Gathered:
    """The prompts in order, the behaviours by bank with the distances up to which texts say the same, and the rest."""

    prompts: list[AuditedPrompt] = field(default_factory=list)
    found: dict[str, list[AuditedBehaviour]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    banks: list[WatchingBank] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    stopped: bool = False

    def add(self, press: Exploration, number: int, group: str) -> None:
        """The press on prompt ``number``."""
        self.prompts.append(pressed(press, group))
        if new := behaviours_of(press, number):
            self.found[press.bank], self.limits[press.bank] = new, press.threshold

    @property
    def behaviours(self) -> tuple[AuditedBehaviour, ...]:
        """Those of all banks, first those that recur, by how often other answers say the same."""
        every = [one for some in self.found.values() for one in some]
        return tuple(sorted(every, key=lambda one: (not one.recurs, -one.evidence, one.random.share)))

    def tell(self, number: int) -> None:
        """Note a line about a prompt."""
        one = self.prompts[number]
        names = "; ".join(behaviour.name for behaviour in self.behaviours if behaviour.prompt == number)
        said = one.problem if one.state == "failed" else names or "nothing that random vectors do not show as often"
        self.lines.append(f"Prompt {number + 1}, “{one_line(one.prompt.user, 60)}”: {said}")
