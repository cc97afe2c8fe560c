"""Outputs are complete or absent."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mriqa.errors import UserError
from mriqa.files import (
    read_if_sound,
    readable,
    remove_leftovers,
    replacing,
    replacing_folder,
    temporary_name,
    write_json,
    write_json_if_changed,
    write_parquet,
    write_parquet_if_changed,
    write_text,
)

TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "f.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f.txt"]


def test_nothing_is_visible_before_the_end(tmp_path):
    path = tmp_path / "f.txt"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.name.startswith(".")
    assert path.read_text() == "half"


def test_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "tables"
    for content in ("one", "two"):
        with replacing_folder(path) as folder:
            (folder / content).write_text(content)
    assert os.listdir(path) == ["two"]
    assert os.listdir(tmp_path) == ["tables"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "tables"
    with replacing_folder(path) as folder:
        (folder / "one").write_text("1")
    with pytest.raises(RuntimeError), replacing_folder(path) as folder:
        (folder / "two").write_text("2")
        raise RuntimeError
    assert os.listdir(path) == ["one"]
    assert os.listdir(tmp_path) == ["tables"]


def test_unchanged_table_keeps_its_time(tmp_path):
    path = tmp_path / "t.parquet"
    assert write_parquet_if_changed(path, TABLE)
    os.utime(path, ns=(1, 1))
    assert not write_parquet_if_changed(path, TABLE)
    assert path.stat().st_mtime_ns == 1
    assert write_parquet_if_changed(path, TABLE.slice(1))
    assert pq.read_table(path).equals(TABLE.slice(1))


def test_damaged_table_is_replaced(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nonsense")
    assert write_parquet_if_changed(path, TABLE)
    assert pq.read_table(path).equals(TABLE)


def test_what_cannot_be_read_is_said_with_cause_and_remedy(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(UserError, match="parquet: not there; run `mriqa run CON"), readable(path):
        pq.read_schema(path)
    write_parquet(path, TABLE)
    one_line = r"^\S+t\.parquet: cannot be read \(No match.*\); try b$"
    with pytest.raises(UserError, match=one_line), readable(path, "try b"):
        pq.read_table(path, columns=["c"])  # its message has many lines
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"read \(.+\); delete it and run again$"), readable(path):
        pq.read_table(path)


def test_only_a_sound_table_of_the_schema_is_read(tmp_path):
    path = tmp_path / "t.parquet"
    assert read_if_sound(path, TABLE.schema) is None
    write_parquet(path, TABLE)
    assert read_if_sound(path, TABLE.schema).equals(TABLE)
    assert read_if_sound(path, TABLE.schema.remove(0)) is None
    path.write_bytes(path.read_bytes()[:-9])
    assert read_if_sound(path, TABLE.schema) is None


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "j.json", {"a": float("nan")})
    assert os.listdir(tmp_path) == []
    write_json(tmp_path / "j.json", {"ü": None})
    assert json.loads((tmp_path / "j.json").read_text()) == {"ü": None}


def test_json_is_written_again_only_if_it_is_another(tmp_path):
    path = tmp_path / "j.json"
    write_json_if_changed(path, {"ü": 1})
    os.utime(path, ns=(1, 1))
    write_json_if_changed(path, {"ü": 1})
    assert path.stat().st_mtime_ns == 1
    write_json_if_changed(path, {"ü": 2})
    assert path.stat().st_mtime_ns != 1
    assert json.loads(path.read_text(encoding="utf-8")) == {"ü": 2}


def test_leftovers_of_a_killed_run_go(tmp_path):
    path = tmp_path / "shard[1].parquet"
    write_parquet(path, TABLE)
    temporary_name(path).write_bytes(b"half")
    temporary_name(path).mkdir()
    other = temporary_name(tmp_path / "another.parquet")
    other.write_bytes(b"half")
    remove_leftovers(tmp_path, path.name)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, other.name])
