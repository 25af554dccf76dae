"""What a person writes for the model to answer."""

from dataclasses import dataclass

from melbo_app.engine.template_choice import TemplateChoice
from melbo_app.limits import check_text


@dataclass(frozen=True)
class Prompt:
    """What a person wrote: user text, optional system text, and the chat template around it.

    ``template`` is True for the model's own template, False for none; a text chooses one by name or sets what it
    reads, as ``TemplateChoice`` has it: ``"tool_use enable_thinking=false"``.

    Raises:
        InputError: a template that is not written like that, or a text that is too long.
    """

    user: str
    system: str | None = None
    template: bool | str = True

    def __post_init__(self) -> None:
        check_text("prompt", self.user)
        check_text("system text", self.system or "")
        if isinstance(self.template, str):
            choice = TemplateChoice.parse(self.template)
            # one way to write each choice, so that the same prompt is found again
            object.__setattr__(self, "template", str(choice) or True)
