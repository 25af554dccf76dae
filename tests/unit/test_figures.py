import html
import json
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.figures import SYMBOLS
from melbo_app.analysis.heatmap_figure import heatmap_figure
from melbo_app.analysis.map_figure import FEW_LINES, MANY, contours, map_figure, map_paints, map_trace
from melbo_app.analysis.map_groups import COLOURINGS
from melbo_app.analysis.order import ward_tree
from melbo_app.analysis.projection import MapPoint
from melbo_app.analysis.text_clusters import TextCluster
from melbo_app.analysis.training_figure import curves_figure
from melbo_app.ui.scripts import read

PLAIN = MapPoint(id=7, x=1, y=2, vector=3, radius=8, label="", text="Sure, here it is", prompt_index=0)
BASELINE = replace(PLAIN, id=1, vector=None, radius=0)
RANDOM = replace(PLAIN, id=2, vector="random")


def traces(figure: go.Figure) -> dict[str, dict]:
    return {trace["name"]: trace for trace in json.loads(figure.to_json())["data"]}


def bank(count: int) -> list[MapPoint]:
    return [replace(PLAIN, id=100 + vector, vector=vector, x=vector) for vector in range(count)]


def hover_of(point: MapPoint) -> list[str]:
    return map_figure([point], "vector").data[0].hovertext[0].split("<br>")


FIGURES = {
    "map": map_figure([PLAIN, BASELINE, RANDOM], "vector", "Map"),
    "empty map": map_figure([], "radius"),
    "heat map": heatmap_figure(np.eye(3), ["a", "b", "c"], None, "Similarity"),
    "empty heat map": heatmap_figure(np.zeros((0, 0)), [], None, "Similarity"),
    "curves": curves_figure([[1.0, 2.0]], 2, 5, "joint"),
    "no curves": curves_figure([], 0, 5, "joint"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_suits_light_and_dark_pages(name):
    layout = json.loads(FIGURES[name].to_json())["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0, 0, 0, 0)"
    assert layout["font"]["family"] == "system-ui, sans-serif"
    assert layout["autosize"] is True and "width" not in layout and "height" not in layout
    assert "layout" not in layout["template"]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_hold_plain_lists_that_older_plotly_scripts_can_read(name):
    assert "bdata" not in FIGURES[name].to_json()


@pytest.mark.parametrize("name", ["empty map", "empty heat map", "no curves"])
def test_an_empty_figure_says_so(name):
    assert FIGURES[name].layout.annotations[0].text


@pytest.mark.parametrize("colour", COLOURINGS)
def test_every_point_is_drawn_once_and_carries_its_completion(colour):
    points = [BASELINE, RANDOM, *bank(40), replace(PLAIN, id=500, label="poem", radius=-4)]
    drawn = [
        (x, y, ids)
        for trace in traces(map_figure(points, colour)).values()
        for x, y, ids in zip(trace["x"], trace["y"], trace["customdata"], strict=True)
    ]
    assert sorted(drawn) == sorted((point.x, point.y, [point.id]) for point in points)


@pytest.mark.parametrize("colour", COLOURINGS)
def test_baseline_is_a_black_star_and_the_control_a_hollow_grey_circle(colour):
    found = traces(map_figure([PLAIN, BASELINE, RANDOM], colour))
    assert (found["baseline"]["marker"]["symbol"], found["baseline"]["marker"]["color"]) == ("star", "black")
    assert found["random control"]["marker"]["symbol"] == "circle-open"
    assert list(found)[-1] == "baseline"  # drawn last, so on top


def test_up_to_sixty_four_vectors_differ_in_colour_and_symbol_together():
    found = traces(map_figure(bank(64), "vector"))
    assert len({(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in found.values()}) == 64


@pytest.mark.parametrize("colour", COLOURINGS)
def test_colour_never_says_anything_alone(colour):
    """Groups next to each other in the legend differ in their symbol, too."""
    verdicts = ["readable", "strange", "broken", None]
    points = [
        replace(PLAIN, vector=at, radius=at + 1, label=str(at), verdict=verdicts[at], cluster=at) for at in range(4)
    ]
    clusters = [TextCluster(str(at), 1) for at in range(4)]
    found = [trace["marker"] for trace in traces(map_figure(points, colour, clusters=clusters)).values()]
    assert len({marker["symbol"] for marker in found}) == len({marker["color"] for marker in found}) == 4


def test_a_vector_keeps_its_look_whatever_else_is_shown():
    alone, among = traces(map_figure([PLAIN], "vector")), traces(map_figure(bank(12), "vector"))
    assert alone["vector 3"]["marker"] == among["vector 3"]["marker"]


DARK = "#020617"  # the ground of the dark page


def luminance(colour: str) -> float:
    """Relative luminance of a colour such as #3f90da (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", ["vector", "radius", "signed radius", "label"])
def test_every_point_stands_out_from_a_dark_page(colour):
    points = [replace(point, radius=point.vector + 1, label=str(point.vector)) for point in bank(8)]
    points += [replace(PLAIN, radius=-8)] if colour == "signed radius" else []
    seen = traces(map_figure([*points, RANDOM], colour.split()[-1]))
    colours = [trace["marker"]["color"] for trace in seen.values()]
    assert len(colours) > 6
    for one in colours:
        assert (luminance(one) + 0.05) / (luminance(DARK) + 0.05) >= 3, one  # WCAG 1.4.11, for graphics


def test_points_of_one_label_share_a_colour_and_unlabelled_ones_come_last():
    points = [replace(PLAIN, vector=i, label=label) for i, label in enumerate(["poem", "", "French", "poem"])]
    found = traces(map_figure(points, "label"))
    assert list(found) == ["French", "poem", "no label"]
    assert len(found["poem"]["x"]) == 2


def test_radius_is_coloured_logarithmically_and_named_in_the_legend():
    points = [replace(PLAIN, radius=radius) for radius in (80, 20, 10)]
    found = traces(map_figure(points, "radius"))
    assert list(found) == ["R = 10", "R = 20", "R = 80"]
    # 20 lies at (log2 3 − log2 2) / (log2 9 − log2 2) = .27 of the way
    assert [trace["marker"]["color"] for trace in found.values()] == ["#6f78c9", "#3c9bb1", "#c0d93a"]


def test_radii_of_both_signs_have_colours_on_either_side():
    points = [replace(PLAIN, radius=radius) for radius in (-40, -5, 5, 40)]
    found = {name: trace["marker"]["color"] for name, trace in traces(map_figure(points, "radius")).items()}
    assert list(found) == ["R = −40", "R = −5", "R = 5", "R = 40"]
    red, blue = (lambda colour: int(colour[1:3], 16)), (lambda colour: int(colour[5:7], 16))
    assert blue(found["R = −40"]) > red(found["R = −40"]) and red(found["R = 40"]) > blue(found["R = 40"])


def test_one_radius_alone_has_a_colour():
    assert traces(map_figure([PLAIN], "radius"))["R = 8"]["marker"]["color"] == "#37b588"


def test_clusters_have_contours_around_their_points_and_names():
    points = [
        replace(PLAIN, id=at, x=x, y=y, cluster=cluster)
        for at, (x, y, cluster) in enumerate(
            [(0, 0, 0), (4, 0, 0), (4, 3, 0), (0, 3, 0), (2, 1, 0), (9, 9, None), (20, 20, 1), (20, 20, 1)]
        )
    ]
    layout = contours(points, [TextCluster("rain, sea", 5), TextCluster("<b>", 2)])
    assert [name["text"] for name in layout["annotations"]] == ["rain, sea", "&lt;b&gt;"]
    corners = [tuple(map(float, one.split(","))) for one in layout["shapes"][0]["path"][1:-1].split("L")]
    xs, ys = zip(*corners, strict=True)
    assert min(xs) < 0 and max(xs) > 4 and min(ys) < 0 and max(ys) > 3  # around them all
    assert max(xs) < 5 and max(ys) < 4  # and not around the others
    legend = list(traces(map_figure(points, "cluster", clusters=[TextCluster("rain, sea", 5), TextCluster("x", 2)])))
    assert legend == ["rain, sea", "x", "in no cluster"]


def test_the_page_gets_each_point_once_and_a_group_for_it_in_every_colouring():
    points = [BASELINE, *bank(5), replace(RANDOM, verdict="broken")]
    trace = json.loads(map_trace(points).to_json())["data"][0]
    assert trace["customdata"] == [[point.id] for point in points] and "marker" not in trace
    paints = map_paints(points, [])
    assert list(paints) == list(COLOURINGS)
    for paint in paints.values():
        names = [paint["groups"][group]["name"] for group in paint["of"]]
        assert names[0] == "baseline" and names[-1] == "random control"
        assert [paint["of"].count(group) for group in range(len(paint["groups"]))] == [
            group["count"] for group in paint["groups"]
        ]


def test_many_points_are_exported_for_webgl_and_every_symbol_is_one_that_it_and_the_page_have():
    points = [replace(PLAIN, id=at, vector=at % 64, text="word " * 200) for at in range(MANY + 1)]
    assert {trace.type for trace in map_figure(points[1:], "vector").data} == {"scatter"}
    assert {trace.type for trace in map_figure(points, "vector").data} == {"scattergl"}
    shown = map_trace(points).data[0]  # whose points the page paints
    assert shown.type == "scatter" and len(shown.hovertext[0].split("<br>")) == 1 + FEW_LINES
    clusters = [TextCluster("one", 1)]
    points = [BASELINE, RANDOM, *points, replace(PLAIN, cluster=0), replace(PLAIN, verdict="broken")]
    paints = map_paints(points, clusters).values()
    symbols = {group["marker"]["symbol"] for paint in paints for group in paint["groups"]}
    assert symbols >= {"star", "circle-open", "diamond-open", *SYMBOLS}
    go.Scattergl(marker={"symbol": sorted(symbols)}, x=[0], y=[0])  # plotly refuses one that it does not know
    outlines = re.findall(r"^  '?([\w-]+)'?: \(r\) =>", read("point_canvas"), re.MULTILINE)
    assert {symbol.removesuffix("-open") for symbol in symbols} == set(outlines)


def test_the_map_has_equal_axes_without_numbers():
    layout = map_figure([PLAIN], "vector").layout
    assert layout.yaxis.scaleanchor == "x" and layout.yaxis.scaleratio == 1
    assert layout.xaxis.showticklabels is False and layout.yaxis.showticklabels is False


def test_the_hover_names_vector_radius_label_and_text():
    lines = hover_of(replace(PLAIN, label="poem", radius=-8.25, prompt_index=1))
    assert lines == ["<b>vector 3 · R = −8.25 · poem · prompt 2</b>", "Sure, here it is"]
    assert hover_of(BASELINE)[0] == "<b>baseline · prompt 1</b>"
    assert hover_of(RANDOM)[0] == "<b>random control · R = 8 · prompt 1</b>"
    assert hover_of(replace(PLAIN, text=" \n"))[1] == "(empty text)"


def test_markup_in_texts_labels_and_titles_is_shown_and_not_obeyed():
    evil = "<b>bold</b> <a href='x'>link</a> &lt; %{x}"
    point = replace(PLAIN, text=evil, label=evil)
    figure = map_figure([point], "label", evil)
    assert hover_of(point)[1] == html.escape(evil, quote=False)
    assert figure.data[0].hovertemplate is None  # in a template %{x} would be replaced
    assert figure.layout.title.text == html.escape(evil, quote=False)
    assert figure.data[0].name.startswith("&lt;b&gt;bold")
    assert "<b>" not in str(heatmap_figure(np.eye(2), [evil, "<b>"], None, "").data[0].hovertext)


@given(st.text())
def test_the_hover_stays_small_and_holds_no_foreign_tag(text):
    lines = hover_of(replace(PLAIN, text=text))
    assert 2 <= len(lines) <= 9
    assert all(len(html.unescape(line)) <= 60 for line in lines[1:])
    assert not any(re.search("[<>]", line) for line in lines[1:])


def test_a_long_text_is_cut_with_a_mark():
    assert hover_of(replace(PLAIN, text="word " * 200))[-1].endswith(" …")
    assert not hover_of(replace(PLAIN, text="\n".join("12345678")))[-1].endswith("…")


def test_the_heat_map_is_put_in_the_order_given():
    matrix = np.array([[1, 0.1, -0.2], [0.1, 1, 0.3], [-0.2, 0.3, 1]])
    figure = heatmap_figure(matrix, ["vector 0", "vector 1", "vector 2"], [2, 0, 1], "δ")
    heat = json.loads(figure.to_json())["data"][0]
    assert heat["z"] == [[1, -0.2, 0.3], [-0.2, 1, 0.1], [0.3, 0.1, 1]]
    assert heat["hovertext"][0][1] == "vector 2 · vector 0: −0.20"
    assert heat["text"][1] == ["−0.20", "1.00", "0.10"]
    assert list(figure.layout.yaxis.ticktext) == ["vector 2", "vector 0", "vector 1"]
    assert list(figure.layout.yaxis.range) == [2.5, -0.5]  # first row on top


def test_names_leave_the_room_to_the_cells():
    names = ["0 · speaks of an app that one can buy in a store", "1"]
    layout = heatmap_figure(np.eye(2), names, None, "").layout
    assert list(layout.xaxis.ticktext) == ["0", "1"]
    assert list(layout.yaxis.ticktext) == ["0 · speaks of…", "1"]


def test_cells_are_square_and_printed_up_to_sixteen_vectors():
    small, large = (heatmap_figure(np.eye(n), [str(i) for i in range(n)], None, "") for n in (16, 17))
    assert small.data[0].texttemplate and not large.data[0].texttemplate
    assert small.layout.yaxis.scaleanchor == "x" and small.layout.yaxis.constrain == "domain"


def test_many_vectors_name_only_some_rows():
    figure = heatmap_figure(np.eye(100), [str(i) for i in range(100)], None, "")
    assert len(figure.layout.yaxis.ticktext) == len(figure.layout.yaxis.tickvals) <= 32


def test_two_heat_maps_share_their_colours_whatever_their_values():
    first, second = (heatmap_figure(np.eye(3) * scale, ["a", "b", "c"], None, "").data[0] for scale in (1, 0.1))
    assert (first.zmin, first.zmax) == (second.zmin, second.zmax) == (-1, 1)
    assert first.colorscale == second.colorscale
    assert dict(first.colorscale)[0.5] == "#f7f7f7"


def test_values_that_are_not_finite_stay_empty():
    heat = heatmap_figure(np.array([[1, np.nan], [np.nan, 1]]), ["a", "b"], None, "").data[0]
    assert heat.z[0][1] is None and heat.text[0][1] == "" and heat.hovertext[0][1] == "a · b: unknown"


def test_the_tree_above_the_columns_ends_at_its_cells():
    rows = np.array([[1.0, 0], [0, 1], [0.96, 0.28]])
    tree = ward_tree(rows @ rows.T)
    figure = heatmap_figure(rows @ rows.T, ["a", "b", "c"], tree.order, "δ", tree.lines)
    line = figure.data[1]
    assert figure.data[0].type == "heatmap" and line.yaxis == "y2" and line.xaxis is None
    assert sorted(x for x, y in zip(line.x, line.y, strict=True) if y == 0) == [0, 1, 2]
    assert figure.layout.yaxis.domain[1] == figure.layout.yaxis2.domain[0]
    assert "yaxis2" not in heatmap_figure(np.eye(2), ["a", "b"], None, "").to_plotly_json()["layout"]


@pytest.mark.parametrize(("names", "order"), [(["a"], None), (["a", "b"], [0, 0]), (["a", "b"], [0])])
def test_a_heat_map_of_shapes_that_disagree_is_refused(names, order):
    with pytest.raises(ValueError, match="permutation"):
        heatmap_figure(np.eye(2), names, order, "")


def test_curves_count_steps_from_one_and_keep_the_colour_of_the_vector():
    found = traces(curves_figure([[1.0, 2.0, 3.0], [2.0]], 4, 6, "sequential"))
    assert found["vector 0"]["x"] == [1, 2, 3] and found["vector 0"]["y"] == [1, 2, 3]
    assert found["vector 1"]["mode"] == "markers"
    on_map = traces(map_figure(bank(2), "vector"))
    assert found["vector 1"]["line"]["color"] == on_map["vector 1"]["marker"]["color"]


@pytest.mark.parametrize(
    ("curves", "kind"),
    [
        ([[1, 50]], "linear"),
        ([[1], [51]], "log"),
        ([[0, 100]], "linear"),
        ([[float("nan"), 3]], "linear"),
        ([], "linear"),
    ],
)
def test_the_objective_is_logarithmic_beyond_fiftyfold(curves, kind):
    assert curves_figure(curves, 1, 2, "joint").layout.yaxis.type == kind


def test_a_zoom_outlives_the_next_drawing_unless_the_axis_changes_its_kind():
    early, late = curves_figure([[1, 2]], 2, 9, "joint").layout, curves_figure([[1, 2, 99]], 3, 9, "joint").layout
    assert early.uirevision == late.uirevision is not None
    assert early.yaxis.uirevision != late.yaxis.uirevision


def test_curves_say_in_words_what_is_drawn():
    layout = curves_figure([[1.0, 2.0]], 2, 16, "Training “sea”").layout
    assert layout.title.text == "Training “sea”: step 2 of 16"
    assert layout.xaxis.title.text == "step of the vector"
    assert layout.yaxis.title.text == "objective J: how far the activations move"
