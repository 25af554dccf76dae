"""A prompt as a person writes it."""

from dataclasses import dataclass

from melbo_app.engine.template_choice import TemplateChoice
from melbo_app.limits import check_text


@dataclass(frozen=True)
class Prompt:
    """User text, optional system text, and the chat template around them.

    ``template`` is True for the model's default template, False for none, or a text that ``TemplateChoice`` parses,
    with a name, options, or both: ``"tool_use enable_thinking=false"``. Raises InputError for a template that cannot be
    parsed, or a text that is too long.
    """

    user: str
    system: str | None = None
    template: bool | str = True

    def __post_init__(self) -> None:
        check_text("prompt", self.user)
        check_text("system text", self.system or "")
        if isinstance(self.template, str):
            choice = TemplateChoice.parse(self.template)
            # a canonical form, so that the same prompt is found again
            object.__setattr__(self, "template", str(choice) or True)
