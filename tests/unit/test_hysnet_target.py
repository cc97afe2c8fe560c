"""The target's scale and what patches say of a volume: exact, and never NaN."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.errors import SeriesError, UserError
from mriqa.methods.hysnet.target import TargetScale, volume_prediction

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


@settings(deadline=None)
@given(numbers, st.floats(1, 1e3))
def test_a_scale_is_undone_by_restoring(values, step):
    values = [*values, max(values) + step]
    scale = TargetScale.of(values, "snr")
    learned = scale.standardised(values)
    np.testing.assert_allclose([learned.mean(), learned.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(scale.restored(learned), values, rtol=1e-9, atol=1e-6)
    assert TargetScale.from_json(asdict(scale)) == scale


@pytest.mark.parametrize("values", [[], [3.0], [3.0] * 5, [1e9, 1e9 + 1e-3]])
def test_targets_that_do_not_differ_are_refused(values):
    with pytest.raises(UserError, match=rf"target snr: {len(values)} training volumes .* differ"):
        TargetScale.of(values, "snr")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_targets_that_are_no_numbers_are_refused(bad):
    with pytest.raises(UserError, match="target snr: 1 of 3 values are not finite"):
        TargetScale.of([1.0, bad, 2.0], "snr")


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=12), st.randoms())
def test_a_volume_is_the_mean_of_its_patches_in_any_order(outputs, random):
    scale = TargetScale(12.0, 4.0)
    found = volume_prediction(outputs, scale, "a")
    assert found.value == pytest.approx(12 + 4 * np.mean(outputs), abs=1e-9)
    assert found.spread == pytest.approx(4 * np.std(outputs, ddof=1), abs=1e-9)
    assert found.n_patches == len(outputs)
    random.shuffle(outputs)
    again = volume_prediction(outputs, scale, "a")
    assert again.value == found.value
    assert again.spread == pytest.approx(found.spread, abs=1e-9)


def test_a_single_patch_has_no_spread():
    found = volume_prediction(np.array([0.5], np.float32), TargetScale(1.0, 2.0), "a")
    assert (found.value, found.spread, found.n_patches) == (2.0, None, 1)


@pytest.mark.parametrize("outputs", [[], [0.0, float("nan")], [float("inf")]])
def test_what_is_no_number_fails_with_the_volumes_name(outputs):
    with pytest.raises(SeriesError, match="a_T1w, volume 0: HyS-Net gives no finite number"):
        volume_prediction(outputs, TargetScale(0.0, 1.0), "a_T1w, volume 0")
