"""Markdown that people write: it becomes plain texts in known elements, whatever is in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.ui.markdown import KNOWN, tree

MADE = KNOWN | {"span", "a", "pre", "code", "br", "hr"}


def plain(nodes):
    return "".join(node.get("text", "") + plain(node.get("nodes", [])) for node in nodes)


def tags(nodes):
    return {tag for node in nodes for tag in ({node.get("tag")} | tags(node.get("nodes", [])))}


def links(nodes):
    return [one for node in nodes for one in ([node["href"]] if "href" in node else []) + links(node.get("nodes", []))]


def test_what_is_written_keeps_its_shape():
    found = tree("# Tags\n\n- *warm*: **kind**\n- `cold`\n\n> no\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert [node["tag"] for node in found] == ["h1", "ul", "blockquote", "table"]
    assert tags(found) >= {"li", "em", "strong", "code", "th", "td"} and plain(found) == "Tagswarm: kindcoldnoab12"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>window.ran = true</script>",
        "a <img src=x onerror='window.ran = true'> b",
        "<iframe src='javascript:1'></iframe>",
        "<b onclick=x>",
        "<!-- a comment -->",
        "<svg/onload=x>",
    ],
)
def test_html_stays_text(hostile):
    found = tree(hostile)
    assert plain(found) == hostile and tags(found) <= {"p", None}


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//host/x",
        "/files/x",
        "file:///x",
    ],
)
def test_links_lead_to_the_web_alone(address):
    assert links(tree(f"[press]({address})")) == [] and "press" in plain(tree(f"[press]({address})"))
    assert links(tree(f"<{address}>")) == []
    assert links(tree("[press](https://example.org/a)")) == ["https://example.org/a"]


def test_a_picture_is_its_description_and_nothing_is_fetched():
    found = tree("![a cat](https://example.org/cat.png)")
    assert plain(found) == "a cat" and links(found) == [] and "example" not in json.dumps(found)


@given(st.text(st.sampled_from("<>[]()!*_`#-|\n ab:/\"'&\\"), max_size=60) | st.text(max_size=60))
def test_no_text_makes_another_element_or_address(text):
    found = tree(text)
    assert tags(found) <= MADE | {None}
    assert all(one.startswith(("https://", "http://", "mailto:")) for one in links(found))
