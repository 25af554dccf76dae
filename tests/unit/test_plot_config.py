"""No figure leads out of the page: nothing to share, no logo to follow, on the page and in exported files."""

import json
import re

import pytest

from melbo_app.analysis.map_figure import map_figure
from melbo_app.analysis.plot_config import CONFIG, html_page
from melbo_app.analysis.training_figure import curves_figure
from melbo_app.settings import ROOT
from melbo_app.ui.components.plotly_view import figure_value, plotly_script

WITH_ADDRESS = re.compile(r'(\w+):\{valType:"string",(?:noBlank:!0,)?dflt:"https?:')


@pytest.fixture(scope="module")
def script() -> str:
    return plotly_script().decode().replace("\n", "")


def test_a_lasso_is_looked_at_more_often_than_plotly_would(script):
    assert script.count("SELECTDELAY:20,") + script.count("SELECTDELAY:20}") == 1 and "SELECTDELAY:100" not in script


def test_the_keys_that_are_switched_off_are_those_that_this_release_of_plotly_knows(script):
    known = set(re.findall(r"(\w+):\{valType:", script))
    assert {*CONFIG} <= known
    assert {*WITH_ADDRESS.findall(script)} == {"plotlyServerURL", "topojsonURL"}  # a new one wants to be looked at
    assert 'showSendToCloud&&R.push("sendChartToCloud")' in script or "showSendToCloud" not in script


def test_figures_of_the_page_come_with_the_configuration_and_the_page_takes_it():
    config = figure_value(curves_figure([[1.0]], 1, 1, "x"))["figure"]["config"]
    assert config["showSendToCloud"] is False and config["displaylogo"] is False and config["plotlyServerURL"] == ""
    calls = [
        call
        for path in sorted((ROOT / "assets" / "js").glob("*.js"))
        for call in re.findall(r"Plotly\.(?:react|newPlot)\(([^;]*)\);", path.read_text("utf-8"))
    ]
    assert len(calls) == 2 and all("figure.config" in call for call in calls)


def test_an_exported_page_has_neither_share_button_nor_logo():
    page = html_page(map_figure([], "vector", "Map"))
    config = json.loads(re.findall(r'\{"responsive": true[^}]*\}', page)[-1])
    assert config["showSendToCloud"] is False and config["displaylogo"] is False
    assert 'src="http' not in page and "plotlyServerURL" not in config


def test_figures_leave_the_program_by_these_two_ways_only():
    """Another one would come without the configuration."""
    made = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "melbo_app").rglob("*.py")
        if re.search(r"\.(to_html|write_html|to_json|write_json|to_plotly_json)\(|gr\.Plot\(", path.read_text("utf-8"))
    ]
    assert sorted(made) == ["melbo_app/analysis/plot_config.py", "melbo_app/ui/components/plotly_view.py"]
