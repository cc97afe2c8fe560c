"""A stage whose output changes its shape raises its FORMAT_VERSION, or old files stay in use."""

import hashlib

import pytest

from mriqa.embedding.volumes import MEASURED
from mriqa.images import convert, store
from mriqa.methods.hierarchy import train as hierarchy
from mriqa.methods.hysnet import columns as hysnet_columns
from mriqa.methods.hysnet import score as hysnet
from mriqa.methods.simclr import columns
from mriqa.methods.simclr import score as simclr
from mriqa.rating import score

KNOWN = {
    "convert": (1, "778112bec9dc"),
    "score": (5, "31a82da75834"),
    "simclr": (4, "faa5f44142c9"),
    "hysnet": (1, "3f66d914aa0a"),
}


def digest(schema) -> str:
    listed = "\n".join(f"{field.name} {field.type} {field.nullable}" for field in schema)
    return hashlib.sha256(listed.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("stage", "version", "schema"),
    [
        ("convert", store.FORMAT_VERSION, convert.CONVERT_SCHEMA),
        ("score", score.FORMAT_VERSION, score.SCORE_SCHEMA),
        ("simclr", simclr.FORMAT_VERSION, columns.SCORE_SCHEMA),
        ("hysnet", hysnet.FORMAT_VERSION, hysnet_columns.SCORE_SCHEMA),
    ],
)
def test_a_changed_schema_has_a_new_version(stage, version, schema):
    assert (version, digest(schema)) == KNOWN[stage], (
        f"the columns of `{stage}` changed: raise its FORMAT_VERSION, then note it here"
    )


def test_other_features_of_slices_train_other_hierarchies():
    known = hierarchy.FORMAT_VERSION, hashlib.sha256(MEASURED.encode()).hexdigest()[:12]
    assert known == (5, "d08a612b750a"), (
        "raise mriqa.methods.hierarchy.train.FORMAT_VERSION, then note it here"
    )
