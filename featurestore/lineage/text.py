"""Text in drawings: how wide it is, what is left of it when it is too long, and how it stands in XML."""

from __future__ import annotations

import html
import re
import unicodedata

_LONGEST = 72  # characters
_ADVANCE, _PADDING = 7.3, 26.0  # of a character of 12 pixels in a monospaced font; of both sides together
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def width_of(text: str) -> float:
    """The width of a line with this text, in pixels."""
    return _cells(shortened(text)) * _ADVANCE + _PADDING


def shortened(text: str) -> str:
    """The text, without its middle when it is too long for a line."""
    if _cells(text) <= _LONGEST:
        return text
    head, tail = "", ""
    for one, other in zip(text, reversed(text), strict=True):
        if _cells(head + one + tail) >= _LONGEST:
            break
        head += one
        if _cells(head + other + tail) >= _LONGEST:
            break
        tail = other + tail
    return f"{head}…{tail}"


def xml(text: str) -> str:
    """The text as content or attribute of XML; what no XML can hold is a replacement character."""
    return html.escape(_NO_XML.sub("\ufffd", text))


def _cells(text: str) -> int:
    """How many columns of a monospaced font the text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
