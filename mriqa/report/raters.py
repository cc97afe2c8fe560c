"""What people said: the labels of a results folder, how far raters agree, and what was wrong."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from mriqa.cohort.manifest import PROBLEM_SCHEMA
from mriqa.labels.agreement import LEVELS, Agreement, PairAgreement
from mriqa.labels.publish import AGREEMENT, PROBLEMS
from mriqa.labels.reading import RATINGS_FILE, SCHEMA
from mriqa.report.html import Child, Html, element, joined, table
from mriqa.report.parts import complaints, count, decimal, identifier, note, section, share
from mriqa.report.reading import Json, Reader, number_or_none, read_columns, whole
from mriqa.report.summary import RATINGS, Row

MAX_RATERS = 40
MAX_PAIRS = 60
MAX_PROBLEMS = 50
MAX_TEXT = 400
MEANING = (
    "κ is 1 where raters always agree, 0 where no more than chance would have it, below 0 where "
    "less; it is undefined where all ratings are the same. Fleiss' κ is of all raters. Cohen's is "
    "of two: the plain one takes any two different ratings for equally far apart, the weighted one "
    "pass and fail for twice as far as neighbours."
)


@dataclass(frozen=True)
class Counted:
    """Labels in numbers: those in use by rater and rating, and by level; the others by reason."""

    by_rater: Mapping[str, Mapping[str, int]]
    by_level: Mapping[str, int]
    not_used: Mapping[str, int]
    n_series: int

    @property
    def n_used(self) -> int:
        """Labels in use."""
        return sum(self.by_level.values())


@dataclass(frozen=True)
class Raters:
    """All that the page says of labels; `problems` are the first of `n_problems`.

    `told` says what could not be read; `counted` is None and `agreements` empty then.
    """

    counted: Counted | None
    agreements: Sequence[Agreement]
    problems: Sequence[Row]
    n_problems: int
    told: tuple[str, ...]


def read_raters(results: Path) -> Raters | None:
    """From `results/labels`; None without labels. Never raises for what is damaged."""
    if not (results / RATINGS_FILE).is_file():
        return None
    reader = Reader(results)
    counted = reader.told(lambda: _count(results / RATINGS_FILE), str(RATINGS_FILE))
    agreements = reader.told(lambda: _agreements(results / AGREEMENT), str(AGREEMENT))
    problems = reader.told(lambda: _problems(results / PROBLEMS), str(PROBLEMS))
    first, n_problems = problems or ([], 0)
    return Raters(counted, agreements or (), first, n_problems, tuple(reader.problems))


def _count(path: Path) -> Counted:
    labels = read_columns(path, SCHEMA)
    used = labels.filter(labels["used"])
    rest = labels.filter(pc.invert(labels["used"]))
    by_rater: dict[str, dict[str, int]] = {}
    for row in used.group_by(["rater", "rating"]).aggregate([([], "count_all")]).to_pylist():
        by_rater.setdefault(str(row["rater"]), {})[str(row["rating"])] = row["count_all"]
    n_slices = used.num_rows - used["slice"].null_count
    n_volumes = used.num_rows - used["volume"].null_count - n_slices
    n_by_level = (used.num_rows - n_volumes - n_slices, n_volumes, n_slices)
    return Counted(
        by_rater,
        dict(zip(LEVELS, n_by_level, strict=True)),
        dict(Counter(str(why) for why in rest["not_used_because"].to_pylist())),
        pc.count_distinct(used["series_id"]).as_py(),
    )


def _agreements(path: Path) -> tuple[Agreement, ...]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, list):
        raise ValueError("it holds no JSON array")
    return tuple(_agreement(one) for one in content)


def _agreement(one: Json) -> Agreement:
    counts = {name: whole(one[name], name) for name in
              ("n_targets", "n_raters", "n_twice", "n_disputed")}  # fmt: skip
    pairs = [
        PairAgreement(
            str(pair["first"]), str(pair["second"]), whole(pair["n"], "n"),
            _share(pair["observed"]), *_kappas(pair, "cohen_kappa", "weighted_kappa"),
        )
        for pair in one["pairs"]
    ]  # fmt: skip
    observed, kappa = _kappas(one, "observed", "fleiss_kappa")
    return Agreement(
        str(one["level"]), **counts, observed=observed, fleiss_kappa=kappa, pairs=tuple(pairs)
    )


def _share(value: object) -> float:
    found = number_or_none(value, "observed")
    if found is None or not 0 <= found <= 1:
        raise ValueError(f"observed is no share: {value!r:.40}")
    return found


def _kappas(one: Json, first: str, second: str) -> tuple[float | None, float | None]:
    return number_or_none(one[first], first), number_or_none(one[second], second)


def _problems(path: Path) -> tuple[list[dict[str, Any]], int]:
    rows = read_columns(path, PROBLEM_SCHEMA)
    return rows.slice(0, MAX_PROBLEMS).to_pylist(), rows.num_rows


def raters_section(raters: Raters) -> Html:
    """Labels by rater and rating, agreement, problems."""
    return section(
        "raters",
        "What raters said",
        complaints(raters.told),
        *(_labels(raters.counted) if raters.counted else ()),
        *_agreement_tables(raters.agreements),
        _problem_table(raters),
    )


def _labels(counted: Counted) -> list[Html | None]:
    levels = ", ".join(
        f"{count(n)} of {'series' if level == 'series' else level + 's'}"
        for level, n in counted.by_level.items()
        if n
    )
    unused = "".join(f"; {count(n)} more not used: {why}" for why, n in counted.not_used.items())
    said = f"{count(counted.n_used)} labels are in use ({levels or 'none'}), of "
    said += f"{count(counted.n_series)} series{unused}."
    everybody: Counter[str] = Counter()
    for own in counted.by_rater.values():
        everybody.update(own)
    by_number = sorted(counted.by_rater.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    rows = [_label_row(rater, own) for rater, own in by_number[:MAX_RATERS]]
    if len(by_number) > 1:
        rows.append(_label_row(f"all {count(len(by_number))} raters", everybody))
    left = len(by_number) - MAX_RATERS
    return [
        element("p", said),
        table("Labels by rater and rating", ["rater", *RATINGS, "all"], rows),
        note(f"and {count(left)} more raters: {RATINGS_FILE}") if left > 0 else None,
    ]


def _label_row(rater: str, own: Mapping[str, int]) -> list[Child]:
    total = sum(own.values())
    shares = [f"{count(own.get(one, 0))} ({share(own.get(one, 0), total)})" for one in RATINGS]
    return [rater, *shares, count(total)]


def _agreement_tables(agreements: Sequence[Agreement]) -> list[Html | None]:
    if not agreements:
        return []
    head = ["of", "rated", "raters", "rated twice or more", "of these disputed", "same rating",
            "Fleiss' κ"]  # fmt: skip
    rows = [
        [
            one.level, count(one.n_targets), count(one.n_raters), count(one.n_twice),
            count(one.n_disputed), _percent(one.observed), _kappa(one.fleiss_kappa, one.n_twice),
        ]
        for one in agreements
    ]  # fmt: skip
    return [note(MEANING), table("How far raters agree", head, rows), _pair_table(agreements)]


def _pair_table(agreements: Sequence[Agreement]) -> Html | None:
    pairs = [(one.level, pair) for one in agreements for pair in one.pairs]
    if not pairs:
        return None
    head = ["raters", "of", "both rated", "same rating", "Cohen's κ", "weighted κ"]
    rows = [
        [
            f"{pair.first} and {pair.second}", level, count(pair.n), _percent(pair.observed),
            _kappa(pair.cohen_kappa, pair.n), _kappa(pair.weighted_kappa, pair.n),
        ]
        for level, pair in pairs[:MAX_PAIRS]
    ]  # fmt: skip
    left = len(pairs) - len(rows)
    more = note(f"and {count(left)} more pairs: {AGREEMENT}") if left else None
    return joined([table("Each two raters", head, rows, class_="sortable"), more])


def _percent(observed: float | None) -> str:
    return "–" if observed is None else f"{observed:.1%}"


def _kappa(kappa: float | None, n: int) -> str:
    return decimal(kappa, 2) if kappa is not None or not n else "undefined"


def _problem_table(raters: Raters) -> Html:
    if not raters.n_problems:
        is_known = not any(one.startswith(str(PROBLEMS)) for one in raters.told)
        return note("No problem was found in the labels." if is_known else None)
    rows = [
        [row["file"], "–" if row["line"] is None else row["line"], row["column"],
         (row["value"] or "")[:MAX_TEXT], (row["problem"] or "")[:MAX_TEXT]]
        for row in raters.problems
    ]  # fmt: skip
    head = ["file", "line", "column", "value", "problem"]
    where = note(
        "All are in ", identifier(str(PROBLEMS)), ": ", identifier("SELECT * FROM label_problems")
    )
    title = f"Problems found in the labels ({count(raters.n_problems)}"
    title += f", the first {count(len(rows))})" if len(rows) < raters.n_problems else ")"
    listed = table(title, head, rows, class_="sortable")
    return joined([where, element("details", element("summary", title), listed)])
