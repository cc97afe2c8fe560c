"""What can be wrong with a series, a volume or a configuration.

Bad data is a row with an `ErrorCode`, raised inside as `SeriesError`. Everything the user has to
mend before work can start is a `UserError`: the command line prints its sentence and exits with 2,
as `exit_code` says.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a series or one of its volumes has no rating. Closed: codes are added, never renamed."""

    FILE_MISSING = "file_missing"
    FILE_UNREADABLE = "file_unreadable"
    EMPTY_FILE = "empty_file"
    ANNEX_POINTER = "annex_pointer"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_GZIP = "corrupt_gzip"
    TRUNCATED = "truncated"
    IMPOSSIBLE_HEADER = "impossible_header"
    IMPOSSIBLE_GEOMETRY = "impossible_geometry"
    IMPOSSIBLE_SCALING = "impossible_scaling"
    COMPLEX_VALUES = "complex_values"
    RGB_VALUES = "rgb_values"
    UNSUPPORTED_DTYPE = "unsupported_dtype"
    TWO_DIMENSIONAL = "two_dimensional"
    FIVE_DIMENSIONAL = "five_dimensional"
    TOO_SMALL = "too_small"
    ALL_NONFINITE = "all_nonfinite"
    CONSTANT = "constant"
    NO_FOREGROUND = "no_foreground"
    OUT_OF_MEMORY = "out_of_memory"
    DUPLICATE_ID = "duplicate_id"
    SOURCE_CHANGED = "source_changed"
    STORE_DAMAGED = "store_damaged"
    INTERNAL = "internal"


ERROR_DESCRIPTIONS: dict[ErrorCode, str] = {
    ErrorCode.FILE_MISSING: "The index names a file that is not there.",
    ErrorCode.FILE_UNREADABLE: "The operating system refused to read the file.",
    ErrorCode.EMPTY_FILE: "The file has zero bytes.",
    ErrorCode.ANNEX_POINTER: "A git-annex or Git LFS pointer stands where the image should be.",
    ErrorCode.NOT_AN_IMAGE: "The bytes are not those of an image format.",
    ErrorCode.UNSUPPORTED_FORMAT: "An image of a format that is not read: PAR, MINC, MGH, DICOM.",
    ErrorCode.CORRUPT_GZIP: "The gzip stream is damaged (wrong checksum or invalid data).",
    ErrorCode.TRUNCATED: "The file ends before the image that its header announces.",
    ErrorCode.IMPOSSIBLE_HEADER: "The header contradicts itself or the format.",
    ErrorCode.IMPOSSIBLE_GEOMETRY: "Zero, negative or non-finite spacing, or a singular affine.",
    ErrorCode.IMPOSSIBLE_SCALING: "Slope or intercept is not finite.",
    ErrorCode.COMPLEX_VALUES: "The voxels are complex numbers; magnitude images are needed.",
    ErrorCode.RGB_VALUES: "The voxels are colours; a derived picture, not an acquisition.",
    ErrorCode.UNSUPPORTED_DTYPE: "The voxel type is none of the integer and float types read here.",
    ErrorCode.TWO_DIMENSIONAL: "A single slice; a volume needs at least two.",
    ErrorCode.FIVE_DIMENSIONAL: "More than four dimensions.",
    ErrorCode.TOO_SMALL: "Fewer than 8 voxels along an in-plane axis, or fewer than 2 slices.",
    ErrorCode.ALL_NONFINITE: "No voxel is a finite number.",
    ErrorCode.CONSTANT: "All finite voxels have the same value.",
    ErrorCode.NO_FOREGROUND: "Nothing stands out from the background.",
    ErrorCode.OUT_OF_MEMORY: "The series does not fit into the memory of its job.",
    ErrorCode.DUPLICATE_ID: "Two files claim the same series id; neither is trusted.",
    ErrorCode.SOURCE_CHANGED: "The file changed between index and convert; index again.",
    ErrorCode.STORE_DAMAGED: "The Zarr store cannot be read back; the next run writes it anew.",
    ErrorCode.INTERNAL: "An error of mriqa's own; the message says where. Please report it.",
}


NOT_ASKED_FOR = frozenset(
    {
        ErrorCode.FILE_MISSING,
        ErrorCode.FILE_UNREADABLE,
        ErrorCode.ANNEX_POINTER,
        ErrorCode.NOT_AN_IMAGE,
        ErrorCode.UNSUPPORTED_FORMAT,
    }
)
"""Of a single file that a call names: it is not there, or is not what the verb takes."""
FAILED, TO_MEND = 1, 2
"""Exit codes: the work was tried and failed; the call or the configuration is wrong."""


class MriqaError(Exception):
    """Base of every error that mriqa raises on purpose: work was tried, and failed."""

    @property
    def exit_code(self) -> int:
        """What a verb that ends with this error exits with."""
        return FAILED


class UserError(MriqaError):
    """What the user must mend before work can start: the call, the configuration, or a file or
    folder that they name; the message says how."""

    @property
    def exit_code(self) -> int:
        """As of a mistake that argparse finds."""
        return TO_MEND


class ConfigError(UserError):
    """A configuration key has a value that is not allowed."""


class ReconciliationError(MriqaError):
    """Series were lost or counted twice between two stages; no table is written."""


class MapsError(MriqaError):
    """A brain mask or tissue map of the user that cannot be used; `reason` is a level of
    `brain_tissue_null_reason`, the message names the file and the cause."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SeriesError(MriqaError):
    """A series (or one volume) that cannot be rated; becomes a row with `code`.

    `message` is one sentence that names the file and the cause.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def exit_code(self) -> int:
        """Of a verb of single files; in a cohort it is a row."""
        return TO_MEND if self.code in NOT_ASKED_FOR else FAILED
