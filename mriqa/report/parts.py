"""Small parts that the sections of the page share."""

from collections.abc import Iterable, Mapping

from mriqa.report.html import Child, Html, element, joined

METHOD_NAMES = {"simclr": "SimCLR", "hierarchy": "the hierarchy", "metrics": "the metrics"}
"""What rates (rating_source) in words."""
SIGNS = {"pass": "✓", "questionable": "?", "fail": "✕"}


def section(anchor: str, title: str, *children: Child) -> Html:
    """A titled section that the navigation can jump to."""
    return element(
        "section", element("h2", title, id=f"{anchor}-title"), *children,
        id=anchor, aria_labelledby=f"{anchor}-title",
    )  # fmt: skip


def note(*children: Child) -> Html:
    """A paragraph in a quieter tone."""
    return element("p", *children, class_="note")


def complaints(problems: Iterable[str]) -> Html:
    """What could not be read, each in a sentence that is seen."""
    return joined(element("p", f"✕ {one}.", class_="balance bad") for one in problems)


def method_name(source: str | None) -> str:
    """A rating_source in words; what is not known stays as it is."""
    return METHOD_NAMES.get(source or "", source or "nobody: no reference")


def badge(rating: str | None, fallback: str = "not rated") -> Html:
    """A rating as a coloured word with a sign, so that colour is not all there is."""
    if rating not in SIGNS:
        return element("span", rating or fallback, class_="badge")
    return element("span", f"{SIGNS[rating]} {rating}", class_=f"badge {rating}")


def identifier(text: str) -> Html:
    """An id or path, in letters of equal width, breaking anywhere."""
    return element("code", text)


def share(part: int, whole: int) -> str:
    """`12.3%`; nothing of nothing is a dash, and what is neither none nor all never looks so."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < part < whole:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.1f}%"


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def rounded(value: float) -> str:
    """Three significant digits without an exponent where that stays readable."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.2e}"


def signed(value: float | None, digits: int = 2) -> str:
    """`+0.31` or `−0.31`; a dash for None."""
    if value is None:
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def signed_rounded(value: float) -> str:
    """Three significant digits with a sign."""
    return f"{'−' if value < 0 else '+'}{rounded(abs(value))}"


def decimal(value: float | None, digits: int = 3) -> str:
    """`0.310`; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def facts(pairs: Mapping[str, Child], class_: str = "facts") -> Html:
    """Names and values as a list of definitions."""
    parts = [
        element(tag, value)
        for pair in pairs.items()
        for tag, value in zip(("dt", "dd"), pair, strict=True)
    ]
    return element("dl", *parts, class_=class_)
