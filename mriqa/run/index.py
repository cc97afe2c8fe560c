"""Indexing a cohort, and the mark that tells the Snakefile that it was done."""

from mriqa.cohort.index import IndexSummary, index_cohort
from mriqa.config import Config
from mriqa.files import write_text
from mriqa.run.lock import hold_or_join
from mriqa.run.plan import index_mark

MARKS = "indexed-*.txt"


def index_alone(config: Config) -> IndexSummary:
    """`mriqa index`: like `index_results`, but refuses while another run works on the results."""
    with hold_or_join(config.results):
        return index_results(config)


def index_results(config: Config) -> IndexSummary:
    """Index the cohort into the results folder and mark it as indexed with these settings.

    Without the mark, plain `snakemake` indexes first: so it is removed before anything changes.
    """
    mark = config.results / index_mark(config.cohort)
    aside = mark.with_suffix(".old")
    if mark.exists():
        mark.rename(aside)
    for old in mark.parent.glob(MARKS):
        old.unlink()
    summary = index_cohort(config.cohort, config.results)
    if aside.exists():
        aside.rename(mark)  # and no file is newer than it was, where nothing changed
    else:
        write_text(mark, "The cohort section of the configuration was last indexed as it is.\n")
    return summary
