"""A signed slider for R, logarithmic on both sides of zero."""

from melbo_app.ui.components.live import Live


class RadiusSlider(Live):
    """Value: {radius, trained, median}. Event: release, only when the pointer lets go or the keys rest."""

    script = "radius_slider"
