"""A cohort that the hierarchy has rated, and what its page says: pieces of the page's tests."""

import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import synthetic_hierarchy as made
import synthetic_tables as synthetic

from mriqa.config import ReportSection
from mriqa.files import write_parquet

SECTION = ReportSection(worst=6, random=3)
QUICK = ReportSection(worst=1, random=0)
N_LONG = 18
PROBLEM = {"file": "l.tsv", "line": 7, "column": "rating", "value": "goood", "problem": "no rating"}


def cohort(n_series=40):
    """With two long diffusion series, in the shard of the others."""
    rows = synthetic.make_rows(n_series, per_shard=n_series)
    return rows + made.long_series(1, N_LONG) + made.long_series(2, 12)


def labels_of(rows):
    """ann and bob on eight volumes: alike but for three, of which they say pass and fail."""
    own = made.rated(rows)[:8]
    ann = [(row["series_id"], row["volume"], "ann", "pass") for row in own]
    bob = [
        (row["series_id"], row["volume"], "bob", "fail" if number < 3 else "pass")
        for number, row in enumerate(own)
    ]
    return ann + bob


def write_results(folder):
    """Results of the cohort, with labels and pictures."""
    rows = cohort()
    made.write_hierarchy(folder, rows)
    made.write_labels(folder, labels_of(rows), [PROBLEM], n_unused=2)
    synthetic.write_stores(folder, rows)
    return folder


def without_pictures(results, target):
    """The same results, to be changed."""
    hidden = shutil.ignore_patterns("zarr", "sources", "report")
    return shutil.copytree(results, target, ignore=hidden)


def volumes(results):
    return pq.ParquetFile(results / "tables/volumes.parquet").read().to_pylist()


def change(path, name, values):
    """Another column of a Parquet file."""
    table = pq.ParquetFile(path).read()
    at = table.column_names.index(name)
    column = pa.array(values, table.schema.field(name).type)
    write_parquet(path, table.set_column(at, table.schema.field(name), column))


def looks(page, level="volume"):
    """The card of each contested label."""
    return [
        part.partition("</li>")[0]
        for part in re.split(rf'<li id="look-{level}-\d+">', page.text)[1:]
    ]


def plain(card):
    return " ".join(re.sub(r"<[^>]+>", " ", card).split())


def maps_of(page):
    return re.findall(r'<svg[^>]*class="distribution heat">.*?</svg>', page.text)
