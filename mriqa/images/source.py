"""A NIfTI file as a stream that is read once, start to end, and hashed on the way.

What a file is, is decided by its bytes and not by its name: a .nii may be gzipped and a .nii.gz
plain. gzip is inflated by ISA-L, which checks the CRC and length of every member.
"""

import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from isal import isal_zlib
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.nifti import HEADER_SIZES, NiftiHeader, header_layout, parse_header

GZIP_MAGIC = b"\x1f\x8b"
MAX_DEFLATE_RATIO = 1032
"""No deflate stream inflates to more than this many times its own size."""
MAX_TRAILING = 64 * 1024
"""Bytes after the image that are kept; more of them means that the header lies about the image."""

POINTERS = (b"annex/objects/", b"version https://git-lfs")
OTHER_FORMATS = {
    b"CDF\x01": "MINC 1", b"CDF\x02": "MINC 1", b"\x89HDF\r\n\x1a\n": "MINC 2",
    b"NRRD": "NRRD", b"ObjectType": "MetaImage", b"\x00\x00\x00\x01\x00\x00": "MGH",
    b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"PK\x03\x04": "a zip archive",
}  # fmt: skip
DCM2NIIX = "convert it with dcm2niix: `dcm2niix -z y -o OUT FOLDER`"
READ_BYTES = 512 * 1024
MAX_READ = 2**28
"""Bytes asked for in one call."""
ISAL_ERROR = cast(type[Exception], isal_zlib.error)  # its stub says it is an instance
GZIP_ERRORS = (BadGzipFile, ISAL_ERROR, zlib.error)


class _Hashing(RawIOBase):
    """A file that updates a SHA-256 with every byte that is read."""

    def __init__(self, handle: FileIO) -> None:
        self._handle = handle
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n_read = self._handle.readinto(buffer)
        self.digest.update(memoryview(buffer)[:n_read])
        return n_read


class NiftiSource:
    """An open NIfTI file: `header` at once, then `read_into` until the image ends, then `finish`.

    `preamble` holds the header and extensions, `trailing` what follows the image (after `finish`).
    """

    def __init__(self, handle: FileIO, name: str) -> None:
        self.name = name
        self.trailing = b""
        self._handle = handle
        found = os.fstat(handle.fileno())
        self.size_bytes, self.mtime_ns = found.st_size, found.st_mtime_ns
        self._hashing = _Hashing(handle)
        if self.size_bytes == 0:
            self.fail(ErrorCode.EMPTY_FILE, "the file has zero bytes")
        self.gzipped = self._begins_with(GZIP_MAGIC)
        self._stream: Any = (
            isal_zlib._GzipReader(cast(BinaryIO, self._hashing), READ_BYTES)
            if self.gzipped
            else self._hashing
        )
        start = self._read_header()
        self.header: NiftiHeader = parse_header(start, name)
        self._check_file_size()
        self.preamble = start + self._read_exactly(self.header.data_offset - len(start))

    def read_into(self, buffer: NDArray[Any]) -> None:
        """Fill `buffer` (C-contiguous) with the next bytes of the image."""
        self._fill(buffer.reshape(-1).view("u1").data)

    def finish(self) -> str:
        """Read to the end; return the SHA-256 of the file's bytes as hex.

        Raises SeriesError if the checksum is wrong, too much follows, or the file was changed.
        """
        self.trailing = self._read(MAX_TRAILING + 1)
        if len(self.trailing) > MAX_TRAILING:
            self.fail(
                ErrorCode.IMPOSSIBLE_HEADER,
                f"more than {MAX_TRAILING} bytes follow the image that the header announces",
            )
        now = os.fstat(self._handle.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.mtime_ns):
            self.fail(ErrorCode.SOURCE_CHANGED, "the file was written to while it was read")
        return self._hashing.digest.hexdigest()

    def fail(self, code: ErrorCode, cause: str) -> NoReturn:
        """Raise SeriesError for this file."""
        raise SeriesError(code, f"{self.name}: {cause}.")

    def _begins_with(self, magic: bytes) -> bool:
        try:
            return os.pread(self._handle.fileno(), len(magic), 0) == magic
        except OSError as error:
            self.fail(ErrorCode.FILE_UNREADABLE, f"cannot be read ({error.strerror or error})")

    def _read_header(self) -> bytes:
        start = self._read(min(HEADER_SIZES))
        layout = header_layout(start) if len(start) >= 4 else None
        if layout is None or start[128:132] == b"DICM":
            raise_foreign(start, self.name)
        return start + self._read_exactly(layout[0] - len(start))

    def _check_file_size(self) -> None:
        needed = self.header.data_offset + self.header.image_bytes
        most = self.size_bytes * (MAX_DEFLATE_RATIO if self.gzipped else 1)
        if needed > most:
            kind = "gzip file" if self.gzipped else "file"
            self.fail(
                ErrorCode.TRUNCATED,
                f"the header announces {needed} bytes; this {kind} of {self.size_bytes} bytes "
                "cannot hold them",
            )

    def _read(self, n_bytes: int) -> bytes:
        """At most `n_bytes`; fewer only at the end of the file."""
        buffer = bytearray(n_bytes)
        return bytes(buffer[: self._readinto(memoryview(buffer))])

    def _read_exactly(self, n_bytes: int) -> bytes:
        buffer = bytearray(n_bytes)
        self._fill(memoryview(buffer))
        return bytes(buffer)

    def _fill(self, view: memoryview) -> None:
        n_read = self._readinto(view)
        if n_read < len(view):
            self.fail(
                ErrorCode.TRUNCATED,
                "the file ends before the image that its header announces",
            )

    def _readinto(self, view: memoryview) -> int:
        done = 0
        try:
            while done < len(view):
                n_read = self._stream.readinto(view[done : done + MAX_READ])
                if not n_read:
                    break
                done += n_read
        except EOFError:
            self.fail(ErrorCode.TRUNCATED, "the gzip stream breaks off")
        except GZIP_ERRORS as error:
            self.fail(ErrorCode.CORRUPT_GZIP, f"the gzip stream is damaged ({error})")
        except OSError as error:
            self.fail(ErrorCode.FILE_UNREADABLE, f"cannot be read ({error.strerror or error})")
        return done


def raise_foreign(start: bytes, name: str) -> NoReturn:
    """Raise the SeriesError for a file whose first bytes are not those of a NIfTI header."""
    if any(pointer in start[:200] for pointer in POINTERS):
        code, cause = (
            ErrorCode.ANNEX_POINTER,
            ("a git-annex or Git LFS pointer; fetch the content (`datalad get`, `git lfs pull`)"),
        )
    elif start[128:132] == b"DICM":
        code, cause = ErrorCode.UNSUPPORTED_FORMAT, f"DICOM, not NIfTI; {DCM2NIIX}"
    elif b"= DATA DESCRIPTION FILE =" in start:
        code, cause = ErrorCode.UNSUPPORTED_FORMAT, f"Philips PAR, not NIfTI; {DCM2NIIX}"
    elif foreign := [kind for magic, kind in OTHER_FORMATS.items() if start.startswith(magic)]:
        code, cause = ErrorCode.UNSUPPORTED_FORMAT, f"{foreign[0]}, not NIfTI"
    elif start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2"):
        size = int.from_bytes(start[:4], "little", signed=True)
        code, cause = ErrorCode.IMPOSSIBLE_HEADER, f"sizeof_hdr is {size}; 348 or 540 is possible"
    elif len(start) < min(HEADER_SIZES):
        code, cause = ErrorCode.NOT_AN_IMAGE, f"{len(start)} bytes are fewer than any image header"
    else:
        code, cause = ErrorCode.NOT_AN_IMAGE, f"begins with {start[:16]!r}; not an image format"
    raise SeriesError(code, f"{name}: {cause}.")


@contextmanager
def open_nifti(path: Path) -> Iterator[NiftiSource]:
    """Open `path` and check its header; raises SeriesError for everything that is wrong with it."""
    try:
        # O_NONBLOCK: a named pipe is opened, and refused below, without waiting for its writer.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.is_symlink() and "annex/objects" in str(path.readlink()):
            cause = "a git-annex link without its content; fetch it (`datalad get`)"
            raise SeriesError(ErrorCode.ANNEX_POINTER, f"{path}: {cause}.") from None
        raise SeriesError(ErrorCode.FILE_MISSING, f"{path}: no such file.") from None
    except OSError as error:
        cause = f"cannot be opened ({error.strerror or error})"
        raise SeriesError(ErrorCode.FILE_UNREADABLE, f"{path}: {cause}.") from error
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        cause = "not a regular file"
        if stat.S_ISDIR(mode):
            cause = f"a folder; name one NIfTI file, or if it holds DICOM, {DCM2NIIX}"
        raise SeriesError(ErrorCode.FILE_UNREADABLE, f"{path}: {cause}.")
    with FileIO(number) as handle:
        yield NiftiSource(handle, str(path))
