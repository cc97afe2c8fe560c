"""HyS-Net's sections: the paper's numbers by default, and clear refusals."""

import pytest
from pydantic import ValidationError

from mriqa.config.hysnet import HysnetLearningSection, HysnetPatchSection, HysnetSection


def test_defaults_are_the_papers():
    section = HysnetSection().learning
    patches = section.patches
    assert (patches.sides, patches.steps, patches.slice_px) == ((96,) * 3, (48,) * 3, 384)
    assert patches.per_volume == 9
    assert (section.epochs, section.learning_rate, section.halve_epochs) == (50, 1e-4, 10)
    assert (section.net.dimensions, section.net.hyper, section.net.width) == (3, True, 1)


def test_a_step_that_leaves_gaps_is_refused():
    with pytest.raises(ValidationError, match="steps: 64 along y exceeds the cube's side 48"):
        HysnetPatchSection(sides=(96, 48, 48), steps=(48, 64, 48))


@pytest.mark.parametrize(
    ("section", "wrong", "says"),
    [
        (HysnetPatchSection, {"upper_percentile": 50}, "50 is not stored .* 99, 99.5, 99.9"),
        (HysnetPatchSection, {"sides": (8, 96, 96)}, "greater than or equal to 16"),
        (HysnetPatchSection, {"per_volume": 0}, "greater than or equal to 1"),
        (HysnetLearningSection, {"target": {"column": ""}}, "at least 1 character"),
        (HysnetLearningSection, {"batch": 1}, "greater than or equal to 2"),
        (HysnetLearningSection, {"learning_rates": 1}, "Extra inputs"),
        (HysnetLearningSection, {"net": {"backbone": "resnet101"}}, "resnet50"),
        (HysnetLearningSection, {"net": {"width": 0}}, "greater than or equal to"),
    ],
)
def test_what_is_not_allowed_is_named(section, wrong, says):
    with pytest.raises(ValidationError, match=says):
        section(**wrong)


def test_it_survives_json():
    section = HysnetLearningSection(net={"dimensions": 2}, seed=4)
    assert HysnetLearningSection.model_validate(section.model_dump(mode="json")) == section


def test_the_target_is_learned_and_the_place_of_its_table_is_not():
    first, other = (HysnetLearningSection(target={"table": one}) for one in ("a.tsv", "b/a.tsv"))
    assert first.identity == other.identity
    assert first.identity != HysnetLearningSection(target={"column": "body_efc"}).identity
