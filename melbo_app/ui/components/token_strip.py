"""The exact tokens that go into the model."""

from melbo_app.ui.components.live import Live


class TokenStrip(Live):
    """Value: {prompts: [{pieces, counts}], message}."""

    script = "token_strip"
