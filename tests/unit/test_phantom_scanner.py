import dataclasses

import numpy as np
import pytest

from mriqa.artifacts.phantom.canvas import Grid, generator
from mriqa.artifacts.phantom.scanner import (
    PROTOCOL_A,
    PROTOCOL_B,
    acquire,
    draw_scan,
    to_int16,
)

GRID = Grid((12, 168, 224), (3.0, 2.232, 2.232))
SCAN = draw_scan(PROTOCOL_A, generator(0), masked=False)
QUIET = dataclasses.replace(
    SCAN, bias=0.0, breathing=0.0, ghost=0.0, pulsation=0.0, fold=0.0, g_factor=0.0, gain=1000.0
)


def block() -> tuple[np.ndarray, np.ndarray]:
    """A uniform body of signal 0.6, rows 60-99, columns 60-159; and its depth in mm."""
    signal = np.zeros(GRID.shape, np.float32)
    signal[:, 60:100, 60:160] = 0.6
    return signal, np.where(signal > 0, 10, -10).astype(np.float32)


def test_noise_has_the_drawn_snr_in_tissue_and_is_rayleigh_in_air():
    scan = dataclasses.replace(QUIET, snr=20.0)
    image = acquire(*block(), GRID, PROTOCOL_A, scan)
    sigma = PROTOCOL_A.tissue.liver / 20 * 1000
    assert image[:, 70:90, 80:140].std() == pytest.approx(sigma, rel=0.05)
    air = image[:, :40, :40]
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.03)
    assert air.min() > 0


def test_a_ghost_stands_fov_over_period_away():
    scan = dataclasses.replace(
        QUIET, snr=1e6, ghost=0.1, ghost_period=4.0, ghost_phase_rad=np.pi / 2
    )
    image = acquire(*block(), GRID, PROTOCOL_A, scan)[6, :, 110]
    ghost = image[60 - 42 : 100 - 42]  # 168 / 4 = 42 rows
    assert ghost.mean() == pytest.approx(0.6 * 1000 * 0.1 / 2, rel=0.05)
    assert image[0:10].max() < 1


def test_a_masked_scan_has_zero_air_and_an_unmasked_one_has_none():
    signal, depth = block()
    masked = acquire(signal, depth, GRID, PROTOCOL_A, dataclasses.replace(SCAN, masked=True))
    assert (masked[depth < -3] == 0).all()
    assert masked[depth > 0].min() > 0
    assert (acquire(signal, depth, GRID, PROTOCOL_A, SCAN) > 0).all()


def test_a_scan_is_the_same_again():
    signal, depth = block()
    one, two = (acquire(signal, depth, GRID, PROTOCOL_A, SCAN) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert signal.max() == np.float32(0.6)  # the ideal image is left alone


def test_end_slices_fold_over():
    signal, depth = block()
    signal[0] = 0
    image = acquire(signal, depth, GRID, PROTOCOL_A, dataclasses.replace(QUIET, snr=1e6, fold=0.3))
    assert image[0, 80, 110] == pytest.approx(0.3 * 600, rel=0.02)
    assert image[-1, 80, 110] == pytest.approx(0.7 * 600, rel=0.02)
    assert image[5, 80, 110] == pytest.approx(600, rel=0.02)


@pytest.mark.parametrize("protocol", [PROTOCOL_A, PROTOCOL_B], ids=lambda p: p.name)
def test_good_scans_vary_within_their_range_and_stay_below_degraded(protocol):
    scans = [draw_scan(protocol, generator(1, number), masked=False) for number in range(200)]
    snr = [scan.snr for scan in scans]
    assert protocol.snr[0] <= min(snr) < 0.6 * max(snr) < max(snr) <= protocol.snr[1]
    assert all(0 < scan.breathing < 0.15 for scan in scans)  # 0.2 is where questionable begins
    assert all(0 < scan.ghost < 0.04 for scan in scans)
    assert np.median([scan.breathing for scan in scans]) > 0.02


def test_integers_are_rounded_and_clipped():
    stored = to_int16(np.float32([-3, 0.4, 0.6, 1e9, np.nan, np.inf]))
    assert stored.tolist() == [0, 0, 1, 32767, 0, 32767]
    assert stored.dtype == np.int16
