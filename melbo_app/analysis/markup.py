"""Remnants of markup in prose: tags of web pages and a template's marks."""

import re

_TAGS = "a|abbr|b|big|br|center|cite|em|font|i|mark|s|small|span|strike|strong|sub|sup|tex|tt|u"
_TEMPLATE = r"<\|[^<>|\n]{1,40}\|>|<(?:start|end)_of_[a-z]+>|<(?:bos|eos|pad|unk|mask|unused\d+)>|\[/?INST\]|<</?SYS>>"
_REMNANT = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>\n]{{0,200}})?/?>|{_TEMPLATE}", re.IGNORECASE)
_PAGE = re.compile(
    r"```|</?(?:html|head|body|div|p|ul|ol|li|table|tr|td|h[1-6]|script|form|input|button)\b", re.IGNORECASE
)


def markup(text: str) -> float:
    """Share of the text's characters in tags within a line (<em>, <strong>, …) or marks of a template (<|im_end|>).

    0 for code in a block and for a page with paragraphs, lists or tables, which may have been asked for.
    """
    if not text or _PAGE.search(text):
        return 0.0
    return sum(len(found[0]) for found in _REMNANT.finditer(text)) / len(text)
