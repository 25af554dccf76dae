"""The header: product name, model chip, training chip."""

from melbo_app.ui.components.live import Live


class StatusBar(Live):
    """Value: {model, model_state, model_title, job, job_state, job_fraction}."""

    script = "status_bar"
