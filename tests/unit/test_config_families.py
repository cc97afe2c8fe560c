"""The families that a slice shows by itself are the same in the configuration and the simulator."""

from typing import get_args

import pytest
from pydantic import ValidationError

from mriqa.artifacts import Family
from mriqa.config import ReferenceSection, SimulatedSection
from mriqa.config.methods import ARTIFACT_FAMILIES, SLICE_FAMILIES, SliceFamily
from mriqa.training.feed import FAMILIES


def test_they_are_the_same():
    assert tuple(one.value for one in Family) == ARTIFACT_FAMILIES
    assert tuple(one.value for one in FAMILIES) == SLICE_FAMILIES == get_args(SliceFamily)


def test_copies_need_something_that_slices_show():
    assert SimulatedSection().slice_families == SLICE_FAMILIES
    assert SimulatedSection(families=("interslice", "noise")).slice_families == ("noise",)
    with pytest.raises(ValidationError, match="interslice motion shows in no single slice"):
        SimulatedSection(families=("interslice",))


def test_references_are_compared_slice_by_slice():
    with pytest.raises(ValidationError, match="families"):
        ReferenceSection(families=("interslice",))
