"""The truth table: what is known to be wrong with each volume."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mriqa.errors import UserError

CLEAN = "none"
BAD_INPUT = "bad_input"
REQUIRED = ("series_id", "family", "severity")
OPTIONAL = ("volume", "subject", "protocol", "breath_hold", "error_code")
_TRUE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Matched:
    """Volumes with their truth.

    `volumes`: rows of the volumes table that the truth names, with `true_family` (`none`: clean),
    `true_severity`, `breath_hold`. `bad_inputs`: truth rows of files that must fail. `missing`:
    what the truth names and the tables do not have. `n_unlabelled`: rows without a truth.
    """

    volumes: pd.DataFrame
    bad_inputs: pd.DataFrame
    missing: tuple[str, ...]
    n_unlabelled: int


def read_truth(path: Path) -> pd.DataFrame:
    """Read a TSV, CSV or Parquet truth table and check it.

    Columns: series_id; volume (empty: all volumes of the series); family (`none` or empty: clean;
    `bad_input`: must fail with `error_code`); severity in [0, 1] (empty: 0); and where known
    subject, protocol, breath_hold (true or false, on scans made in pairs). Raises UserError.
    """
    table = _read(path)
    absent = [name for name in REQUIRED if name not in table.columns]
    if absent:
        raise UserError(f"{path}: column {', '.join(absent)} missing; it has {list(table.columns)}")
    table = table.reindex(columns=[*REQUIRED, *OPTIONAL])
    table["volume"] = _numbers(path, table, "volume")
    table["severity"] = _numbers(path, table, "severity").fillna(0.0)
    table["family"] = table["family"].fillna(CLEAN).replace({"": CLEAN, "clean": CLEAN})
    table["breath_hold"] = [_flag(path, value) for value in table["breath_hold"]]
    _check(path, table)
    table.loc[(table["severity"] == 0) & (table["family"] != BAD_INPUT), "family"] = CLEAN
    return table


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).astype(object)
        separator = "," if path.suffix == ".csv" else "\t"
        return pd.read_csv(
            path, sep=separator, dtype=str, na_values=["n/a"], keep_default_na=False
        ).replace("", None)
    except FileNotFoundError:
        raise UserError(f"evaluation.truth: {path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"evaluation.truth: {path}: not a table: {error}") from error


def _numbers(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    numbers = pd.to_numeric(table[name], errors="coerce")
    wrong = table[numbers.isna() & table[name].notna()]
    if len(wrong):
        raise UserError(f"{path}: {name}: {wrong[name].iloc[0]!r} is not a number")
    return numbers


def _flag(path: Path, value: object) -> bool | None:
    if value is None or value != value or isinstance(value, bool):  # NaN is unlike itself
        return value if isinstance(value, bool) else None
    flag = _TRUE.get(str(value).lower())
    if flag is None:
        raise UserError(f"{path}: breath_hold: {value!r} is neither true nor false")
    return flag


def _check(path: Path, table: pd.DataFrame) -> None:
    outside = table[(table["severity"] < 0) | (table["severity"] > 1)]
    if len(outside):
        raise UserError(
            f"{path}: severity of {outside['series_id'].iloc[0]} is "
            f"{outside['severity'].iloc[0]:g}; it must be between 0 and 1"
        )
    unnamed = table["series_id"].isna()
    if unnamed.any():
        raise UserError(f"{path}: row {int(unnamed.to_numpy().argmax()) + 1} has no series_id")
    repeated = table[table.duplicated(["series_id", "volume"])]
    if len(repeated):
        raise UserError(f"{path}: {repeated['series_id'].iloc[0]} stands there twice")


def match(truth: pd.DataFrame, volumes: pd.DataFrame) -> Matched:
    """Join by series and volume; a truth row that names its volume goes before one for all."""
    judged = truth[truth["family"] != BAD_INPUT]
    known = judged.rename(columns={"family": "true_family", "severity": "true_severity"})[
        ["series_id", "volume", "true_family", "true_severity", "breath_hold"]
    ]
    exact = volumes.merge(known[known["volume"].notna()], on=["series_id", "volume"])
    whole = known[known["volume"].isna()].drop(columns="volume")
    keys = pd.MultiIndex.from_frame(exact[["series_id", "volume"]])
    left = volumes[~pd.MultiIndex.from_frame(volumes[["series_id", "volume"]]).isin(keys)]
    joined = pd.concat([exact, left.merge(whole, on="series_id")], ignore_index=True)
    bad = truth[truth["family"] == BAD_INPUT]
    n_bad_rows = int(volumes["series_id"].isin(bad["series_id"]).sum())
    return Matched(
        volumes=joined,
        bad_inputs=bad,
        missing=_missing(truth, volumes),
        n_unlabelled=len(volumes) - len(joined) - n_bad_rows,
    )


def _keys(table: pd.DataFrame) -> tuple[list[str], list[float]]:
    return table["series_id"].tolist(), table["volume"].tolist()


def _missing(truth: pd.DataFrame, volumes: pd.DataFrame) -> tuple[str, ...]:
    """Series that are not in the tables, and volumes that a series read does not have."""
    unknown = ~truth["series_id"].isin(volumes["series_id"])
    unread = set(volumes.loc[volumes["volume"].isna(), "series_id"])
    named = truth["volume"].notna() & ~unknown & ~truth["series_id"].isin(unread)
    have = pd.MultiIndex.from_frame(volumes[["series_id", "volume"]])
    wanted = pd.MultiIndex.from_frame(truth[["series_id", "volume"]].astype({"volume": float}))
    lost = named.to_numpy() & ~wanted.isin(have)
    return tuple(
        [str(name) for name in truth.loc[unknown, "series_id"]]
        + [f"{name} volume {volume:g}" for name, volume in zip(*_keys(truth[lost]), strict=True)]
    )
