"""Markdown as a tree of plain texts, of which the page makes its own elements: nothing in it can run or be fetched."""

from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

SAFE = ("https://", "http://", "mailto:")
KNOWN = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "em", "strong", "s", "table", "thead",
    "tbody", "tr", "th", "td",
}  # fmt: skip
Node = dict[str, Any]
"""{tag, text} or {tag, nodes}, of a link also href; a text alone has no tag."""


def tree(text: str) -> list[Node]:
    """The parts of a text. Its HTML stays text, a picture is its description, and links lead to the web alone."""
    return _nested(_reader().parse(text))


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _nested(tokens: list[Token]) -> list[Node]:
    found: list[Node] = []
    open_nodes: list[list[Node]] = [found]
    for token in tokens:
        if token.nesting == 1:
            node = _node(token)
            open_nodes[-1].append(node)
            open_nodes.append(node["nodes"])
        elif token.nesting == -1:
            open_nodes.pop()
        elif token.type == "inline":
            open_nodes[-1].extend(_nested(token.children or []))
        else:
            open_nodes[-1].append(_leaf(token))
    return found


def _node(token: Token) -> Node:
    if token.tag == "a":
        address = str(token.attrGet("href") or "")
        return {"tag": "a", "href": address, "nodes": []} if address.startswith(SAFE) else {"tag": "span", "nodes": []}
    return {"tag": token.tag if token.tag in KNOWN else "span", "nodes": []}


def _leaf(token: Token) -> Node:
    if token.type in ("fence", "code_block"):
        return {"tag": "pre", "text": token.content}
    if token.type == "code_inline":
        return {"tag": "code", "text": token.content}
    if token.type in ("hardbreak", "hr"):
        return {"tag": token.tag, "text": ""}
    if token.type == "softbreak":
        return {"text": "\n"}
    return {"text": token.content}  # also of a picture and of HTML
