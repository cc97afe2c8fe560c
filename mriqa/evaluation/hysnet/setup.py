"""What the experiments need, all of it looked for before anything is trained."""

from dataclasses import dataclass

from mriqa.config import Config
from mriqa.evaluation.hysnet.comparators.brisque import check_opencv
from mriqa.evaluation.hysnet.figures import Exam, exam_of
from mriqa.evaluation.hysnet.ground import Ground, Keys, families_of, read_ground
from mriqa.evaluation.hysnet.noise import scans_elsewhere
from mriqa.evaluation.hysnet.settings import HysnetExperiments
from mriqa.evaluation.hysnet.shift import shift_learning
from mriqa.methods.hysnet.target_sources import check_metric
from mriqa.references.listing import HqVolume as Scan

ABLATION, COMPARATORS, ALL = "ablation", "comparators", "all"
OF_SHIFT = Keys("shift.contrasts of the experiments", "shift.target")


@dataclass(frozen=True)
class Setup:
    """`ground` and the `exam` that its held volumes are, with their `families` of artifacts; the
    ground of the `shift`, None where it is not asked for; volumes of `elsewhere`."""

    config: Config
    section: HysnetExperiments
    ground: Ground
    exam: Exam
    families: list[str | None]
    shift: Ground | None
    elsewhere: list[Scan]


def prepare(config: Config, section: HysnetExperiments, part: str) -> Setup:
    """Raises UserError if anything is missing that `part` needs."""
    learning = config.hysnet.learning
    ground = read_ground(config, learning)
    exam = exam_of(ground.held, section.bootstraps, section.seed)
    if part != ABLATION and "brisque" in section.comparators:
        check_opencv()
    if part == COMPARATORS:
        return Setup(config, section, ground, exam, [], None, [])
    shift, scans, results = None, [], config.evaluation.elsewhere
    if section.shift.contrasts:
        check_metric(section.shift.target, "shift.target of the experiments")
        shift = read_ground(config, shift_learning(learning, section), OF_SHIFT)
    if results is not None:
        scans = scans_elsewhere(results, section.elsewhere, section.seed)
    families = families_of(config, ground.held)
    return Setup(config, section, ground, exam, families, shift, scans)
