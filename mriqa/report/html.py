"""HTML that cannot be broken by what stands in it: every plain string is escaped.

`Html` marks what is already markup; only `element` and `joined` make it. Series ids, paths and
error messages are plain strings and stay text, whatever they hold.
"""

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"meta", "img", "br", "hr", "input", "link"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")
_NUMBER = re.compile(r"–|[+−]?[\d.,]+%?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | float | None
Attribute = str | int | float | bool | None


def shown(text: str) -> str:
    """`text` without what a browser cannot show, or what would reorder the text around it."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return _BIDI.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def escaped(child: Child) -> Html:
    """`child` as markup: `Html` as it is, None as nothing, everything else escaped."""
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    return Html(html.escape(shown(str(child)), quote=True))


def joined(children: Iterable[Child], between: str = "") -> Html:
    """Children one after the other."""
    return Html(escaped(between).join(escaped(child) for child in children))


def element(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """One element; `class_` is class, `data_x` is data-x; None and False leave an attribute out.

    Raises ValueError on a name that is none, so that no untrusted text becomes a tag or attribute.
    """
    opening = [_checked(name)]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = _checked(key.rstrip("_").replace("_", "-"))
        opening.append(attribute if value is True else f'{attribute}="{escaped(str(value))}"')
    start = f"<{' '.join(opening)}>"
    if name in _VOID:
        return Html(start)
    return Html(f"{start}{joined(children)}</{name}>")


def table(
    caption: str, head: Iterable[Child], rows: Iterable[Iterable[Child]], *, class_: str = ""
) -> Html:
    """A table with caption and header cells; the first cell of a row is the row's header.

    A column of numbers is aligned right, its title too.
    """
    titles, body = list(head), [list(cells) for cells in rows]
    numeric = [_is_numeric(column) for column in zip(*body, strict=True)] or [False] * len(titles)
    header = element(
        "tr",
        *(
            element("th", title, scope="col", class_=_number_class(flag))
            for title, flag in zip(titles, numeric, strict=True)
        ),
    )
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", header),
            element("tbody", *(_row(cells, numeric) for cells in body)),
            class_=class_ or None,
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _row(cells: list[Child], numeric: list[bool]) -> Html:
    others = [
        element("td", cell, class_=_number_class(flag))
        for cell, flag in zip(cells[1:], numeric[1:], strict=True)
    ]
    return element("tr", element("th", cells[0], scope="row"), *others)


def _number_class(numeric: bool) -> str | None:
    return "n" if numeric else None


def _is_numeric(cells: tuple[Child, ...]) -> bool:
    """Whether all cells are numbers, or dashes for none."""
    return all(
        isinstance(cell, int | float)
        or (isinstance(cell, str) and not isinstance(cell, Html) and _NUMBER.fullmatch(cell))
        for cell in cells
    )


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an element or attribute")
    return name
