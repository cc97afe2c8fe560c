"""Real volumes of the demo cohort: what a package index serves by name, checked before use.

Two abdominal T2-weighted volumes lie in the wheel of `renalsegmentor` (GPL-3, Alexander Daniel),
two small images in nibabel's own test data (MIT). Only the named members are taken, under our own
names, no more bytes than announced here, and only if their SHA-256 is the expected one.
"""

import hashlib
import importlib.resources
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from mriqa.errors import MriqaError
from mriqa.files import write_bytes, write_text

WHEEL = "renalsegmentor==2.0.0"
WHEEL_SHA256 = "9a9385b49d488497ae17e49a6492224888c16f14523b6bd85628200f528a84c0"
MAX_WHEEL_BYTES = 20_000_000
DOWNLOAD_TIMEOUT_S = 60.0
COLUMNS = ("path", "subject", "contrast")
README = """# Real volumes of the demo cohort

- `renal0*`: abdominal T2-weighted MRI, from the Python package renalsegmentor 2.0.0
  (A. Daniel, GPL-3).
- `nibabel*`: small example images of the Python package nibabel (MIT).

Fetched by `mriqa demo-data`; do not redistribute them without their licences.
"""


@dataclass(frozen=True)
class RealVolume:
    """A file inside a package, and how it appears in the demo."""

    member: str
    size_bytes: int
    sha256: str
    name: str
    subject: str
    contrast: str


RENAL = (
    RealVolume(
        "segment/data/test_data/test_sub_01.nii.gz",
        1_106_508,
        "f4d9ffbda4c3f27354552c9d4e6f796f5b76e78f2ee16ad43d5aa5b8c0f81808",
        "renal01_T2w.nii.gz",
        "renal01",
        "T2w",
    ),
    RealVolume(
        "segment/data/test_data/test_sub_02.nii.gz",
        1_331_514,
        "d50d80b35eaf32c050a922b12c043183bf73e660b1e8614e9907b2de410c2497",
        "renal02_T2w.nii.gz",
        "renal02",
        "T2w",
    ),
)
NIBABEL = (
    RealVolume(
        "anatomical.nii",
        68_002,
        "1c089f37b6597a38bb4157a1e1b3f7f13f1bc9d4e7a8cfdfaf91d85cd8f66594",
        "nibabel01_T1w.nii",
        "nibabel01",
        "T1w",
    ),
    RealVolume(
        "example4d.nii.gz",
        346_451,
        "42097dfbab9d2a036b41ae5c97a359591cf2cf5c3f8dc6ca6455c0b8a7f22696",
        "nibabel02_bold.nii.gz",
        "nibabel02",
        "bold",
    ),
)


class FetchError(MriqaError):
    """Real volumes could not be had; the demo goes on without them."""


def fetch_real(target: Path, *, download: bool) -> tuple[list[RealVolume], str | None]:
    """Put the real volumes that can be had into `target`, with the table `real.tsv`.

    Returns them, and one sentence if the network gave none. What is already there is kept.
    """
    found = [volume for volume in NIBABEL if _from_nibabel(volume, target)]
    problem = None
    if all(_is_complete(target / volume.name, volume) for volume in RENAL):
        found += RENAL
    elif not download:
        problem = "real abdominal volumes left out (--no-download)"
    else:
        try:
            _fetch_renal(target)
            found += RENAL
        except FetchError as error:
            problem = f"real abdominal volumes left out: {error}"
    write_table(target, found)
    write_text(target / "README.md", README)
    return found, problem


def write_table(target: Path, volumes: list[RealVolume]) -> None:
    """Write `real.tsv`, a table source of zero or more rows."""
    lines = ["\t".join(COLUMNS)]
    lines += [
        "\t".join((volume.name, volume.subject, volume.contrast))
        for volume in sorted(volumes, key=lambda volume: volume.name)
    ]
    write_text(target / "real.tsv", "\n".join(lines) + "\n")


def _is_complete(path: Path, volume: RealVolume) -> bool:
    if not path.is_file() or path.stat().st_size != volume.size_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == volume.sha256


def _from_nibabel(volume: RealVolume, target: Path) -> bool:
    """Copy an example image of the installed nibabel; False if it has none or another one."""
    path = target / volume.name
    if _is_complete(path, volume):
        return True
    try:
        content = (importlib.resources.files("nibabel") / "tests/data" / volume.member).read_bytes()
    except OSError:
        return False
    if hashlib.sha256(content).hexdigest() != volume.sha256:
        return False
    write_bytes(path, content)
    return True


def _fetch_renal(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mriqa-demo-") as folder:
        wheel = download_wheel(Path(folder))
        contents = [read_member(wheel, volume) for volume in RENAL]
    for volume, content in zip(RENAL, contents, strict=True):
        write_bytes(target / volume.name, content)


def download_wheel(folder: Path) -> Path:
    """Let pip fetch the one wheel into `folder`, from the user's own index, hash checked.

    Nothing of it is run. Raises FetchError.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
        "--disable-pip-version-check", "--only-binary", ":all:", "--retries", "1",
        "--timeout", "10", "--require-hashes", "--dest", str(folder), "-r", str(requirements),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"pip gave no answer within {DOWNLOAD_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise FetchError(f"pip cannot be started ({error})") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise FetchError(f"pip could not download {WHEEL} ({_last_line(done.stderr)})")
    return wheels[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.startswith("ERROR")]
    return (lines[-1].removeprefix("ERROR: ") if lines else "no reason given")[:200]


def read_member(wheel: Path, volume: RealVolume) -> bytes:
    """One member of a wheel, read with a bound on its size; raises FetchError unless it is the
    very file that is expected.
    """
    if wheel.stat().st_size > MAX_WHEEL_BYTES:
        raise FetchError(f"{wheel.name} has more than {MAX_WHEEL_BYTES} bytes")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(volume.member) as handle:
            content = handle.read(volume.size_bytes + 1)
    except (KeyError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError,
            RuntimeError) as error:  # fmt: skip
        raise FetchError(f"{wheel.name}: {volume.member} cannot be read ({error})") from error
    if hashlib.sha256(content).hexdigest() != volume.sha256:
        raise FetchError(f"{wheel.name}: {volume.member} is not the expected file")
    return content
