"""Indexing a cohort, pinning what is learned from it, and the mark that says that it was done."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mriqa.cohort.index import IndexSummary, index_cohort
from mriqa.cohort.maps.publish import MapsSummary, write_brain_maps
from mriqa.config import Config, HysnetLearningSection, LearningSection
from mriqa.files import read_object, write_text
from mriqa.labels.publish import LabelSummary, write_labels
from mriqa.methods.hierarchy.features import check_features
from mriqa.methods.hysnet.target_sources import check_target
from mriqa.run.learned import Learned
from mriqa.run.lock import hold_or_join
from mriqa.run.plan import index_mark
from mriqa.training.imported import Import, import_model
from mriqa.training.manifest import Pin, pin_training
from mriqa.training.model_files import CONFIG
from mriqa.training.pinned_labels import LabelPin, pin_labels

MARKS = "indexed-*.txt"


@dataclass(frozen=True)
class Indexed:
    """What indexing found; of the methods switched on the lists of training series, or models.

    `maps` and `labels` are None where the configuration names none.
    """

    summary: IndexSummary
    maps: MapsSummary | None
    labels: LabelSummary | None
    pins: tuple[Pin | LabelPin | Import, ...]

    def __str__(self) -> str:
        told = [str(one) for one in (self.maps, self.labels) if one is not None]
        return "\n".join([str(self.summary), *told, *map(str, self.pins)])


def index_alone(config: Config) -> Indexed:
    """`mriqa index`: like `index_results`, but refuses while another run works on the results."""
    with hold_or_join(config.results):
        return index_results(config)


def index_results(config: Config) -> Indexed:
    """Index the cohort into the results folder and mark it as indexed with these settings.

    Then the user's brain maps are listed, the labels are read, and each method that is switched on
    gets its list of training series, if it has none, or the model of another cohort.

    Without the mark, plain `snakemake` indexes first: so it is removed before anything changes.
    """
    mark = config.results / index_mark(config)
    aside = mark.with_suffix(".old")
    if mark.exists():
        mark.rename(aside)
    for old in mark.parent.glob(MARKS):
        old.unlink()
    summary = index_cohort(config.cohort, config.results)
    maps = write_brain_maps(config, config.results)
    labels = write_labels(config.labels, config.results)
    pins = pin_methods(config)
    if aside.exists():
        aside.rename(mark)  # and no file is newer than it was, where nothing changed
    else:
        write_text(mark, "Cohort and training series were last indexed as configured.\n")
    return Indexed(summary, maps, labels, pins)


def pin_methods(config: Config) -> tuple[Pin | LabelPin | Import, ...]:
    """Pin the training series of the methods that are switched on; see `pin_training`.

    Those that use another cohort's model get that: see `import_model`.
    """
    learned = Learned(config, Path())
    retrain = config.training.retrain
    return tuple(pin for method in learned.methods for pin in _pins(learned, method, retrain))


def _pins(learned: Learned, method: str, retrain: bool) -> Iterator[Pin | LabelPin | Import]:
    if (source := learned.imported(method)) is not None:
        config = read_object(source / CONFIG)
        if method == config.get("method") == "hierarchy":
            check_features(config, source, imported=True)
        yield import_model(method, source, learned.results)
        return
    learning = learned.learning(method)
    if isinstance(learning, HysnetLearningSection):
        brain = learned.config.score.brain
        check_target(learned.results, learning, (*brain.t1w, *brain.t2w))
    series = pin_training(learned.results, method, learning, retrain=retrain)
    yield series
    if isinstance(learning, LearningSection) and learning.asks_people:
        yield pin_labels(learned.results, method, series.path, retrain=retrain)
