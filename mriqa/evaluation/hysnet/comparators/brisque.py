"""BRISQUE: natural scene statistics and a support vector regression (Mittal et al., IEEE TIP 2012).

[S] 36 features: at full and at half resolution, shape and variance of a generalised Gaussian fitted
to the locally normalised pixels, and four parameters of an asymmetric one fitted to the products of
neighbours in each of four directions. OpenCV computes them (its contributed module `quality`), the
authors' own regression is not used: it knows photographs. Changed: pixels are not rounded to 256
levels, and what is looked at is a slice's content, without the zeros around it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mriqa.embedding.volumes import body_slices
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.images.intensity import MAX_SAMPLE, ascending, foreground_threshold
from mriqa.seeds import fixed_number

Floats = NDArray[np.float64]
Image = NDArray[np.float32]

FEATURES = 36
LEAST_PX = 32
"""Sides of a slice's content: at half of it a fit would be of fewer than 256 pixels."""
WHITE = 255
"""What OpenCV takes for 1; the constant of the local normalisation is 1/255 of it, as in the paper.
"""
FOLDS = 5
COSTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
GAMMAS = (0.1 / FEATURES, 0.3 / FEATURES, 1 / FEATURES)
"""Of the radial basis functions; 1 / FEATURES is the usual one of standardised features."""
USUAL = {"svr__C": 1.0, "svr__gamma": GAMMAS[-1]}
"""Of scikit-learn; where a single group leaves nothing to choose by."""
EPSILON = 0.1
"""Errors up to it count as none, in standard deviations of the targets."""
SEED_LIMIT = 2**32


def slice_features(slice_: Image) -> Floats:
    """The features (36,) of a slice (y, x), 0 to 1.

    Raises:
        SeriesError: (no_foreground) Too little of it is content.
        UserError: OpenCV is not installed.
    """
    _check(slice_)
    found = _features(slice_)
    if found is None:
        raise SeriesError(
            ErrorCode.NO_FOREGROUND, f"a slice has too little content for BRISQUE: {_needed()}"
        )
    return found


def volume_features(volume: Image) -> Floats:
    """The mean features (36,) of the body slices of a volume (z, y, x), 0 to 1.

    Slices with too little content are left out.

    Raises:
        SeriesError: (no_foreground) No slice is left.
        UserError: OpenCV is not installed.
    """
    _check(volume)
    sample = volume.reshape(-1)[:: max(1, -(-volume.size // MAX_SAMPLE)) | 1]
    threshold = foreground_threshold(ascending(sample))
    kept = volume[:0] if threshold is None else volume[body_slices(volume, threshold)]
    found = [one for one in map(_features, kept) if one is not None]
    if not found:
        raise SeriesError(
            ErrorCode.NO_FOREGROUND,
            f"no slice of the volume has enough content for BRISQUE: {_needed()}",
        )
    return np.asarray(np.mean(found, axis=0))


def _needed() -> str:
    return f"at least {LEAST_PX} pixels along both sides, in which neighbours differ"


def _check(image: Image) -> None:
    """Raises ValueError for what is not within 0 to 1, as no number is."""
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError("BRISQUE takes images from 0 to 1, all finite")


def _features(slice_: Image) -> Floats | None:
    """None: there is too little to look at."""
    content = _content(slice_)
    if min(content.shape) < LEAST_PX:
        return None
    compute = _opencv()
    # a new array: OpenCV (5.0.0) scales an image of float32 in place
    found = np.asarray(compute((content * WHITE).astype(np.float32)), np.float64).reshape(-1)
    # fits divide by the number of neighbours with a negative, a positive product: there may be none
    return found if np.isfinite(found).all() else None


def _content(slice_: Image) -> Image:
    """The smallest box around the pixels other than 0."""
    rows, columns = (np.flatnonzero((slice_ != 0).any(axis)) for axis in (1, 0))
    if not rows.size:
        return slice_[:0, :0]
    return slice_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _opencv() -> Callable[[Image], Any]:
    """What computes the features of a grey image, 0 to 255, in a single row."""
    try:
        import cv2

        return cast("Callable[[Image], Any]", cv2.quality.QualityBRISQUE.computeFeatures)
    except (ImportError, AttributeError):  # without its contributed modules it has no `quality`
        raise UserError(
            "BRISQUE needs OpenCV with its contributed modules: pip install 'mriqa[compare]'"
        ) from None


def check_opencv() -> None:
    """Raise UserError if OpenCV is not there."""
    _opencv()


@dataclass(frozen=True)
class Brisque:
    """A fitted regression; `mean` and `sd` are those of the targets that it learned from."""

    model: Any
    mean: float
    sd: float

    def __call__(self, features: Floats) -> Floats:
        """The targets (n,) of volumes by their features (n, 36)."""
        if not len(features):
            return np.empty(0)
        return np.asarray(self.model.predict(features)) * self.sd + self.mean


def fit_brisque(features: Floats, targets: Floats, groups: Sequence[Any], seed: int) -> Brisque:
    """A regression of the `targets` (n,), of any unit, on features (n, 36) of volumes.

    Cost and width are those of the least mean absolute error over folds, which follow from `seed`
    and never part the volumes of a group (a subject). With a single group they are USUAL.
    """
    mean, sd = float(targets.mean()), float(targets.std()) or 1.0
    model, wanted = _pipeline(), (targets - mean) / sd
    count = len(np.unique(np.asarray(groups)))
    if count > 1:
        model.set_params(**_chosen(features, wanted, groups, min(FOLDS, count), seed))
    return Brisque(model.fit(features, wanted), mean, sd)


def _pipeline() -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    steps = [("scale", StandardScaler()), ("svr", SVR(kernel="rbf", epsilon=EPSILON))]
    return Pipeline(steps).set_params(**USUAL)


def _chosen(
    features: Floats, wanted: Floats, groups: Sequence[Any], folds: int, seed: int
) -> dict[str, float]:
    from sklearn.model_selection import GridSearchCV, GroupKFold

    state = fixed_number(seed, "brisque") % SEED_LIMIT
    search = GridSearchCV(
        _pipeline(),
        {"svr__C": COSTS, "svr__gamma": GAMMAS},
        scoring="neg_mean_absolute_error",
        cv=GroupKFold(folds, shuffle=True, random_state=state),
        refit=False,
    )
    best: dict[str, float] = search.fit(features, wanted, groups=groups).best_params_
    return best
