"""What training reads is what was written, whatever its names are; who is learned from, who not."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hierarchy_pieces import embedding, item, label
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.labels.model import RATINGS, Label, Target
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.items import Item
from mriqa.methods.hierarchy.levels import fit_levels
from mriqa.methods.hierarchy.material import (
    Material,
    make_material,
    read_material,
    write_material,
)

NAMES = st.text(max_size=8)  # no lone surrogates: `labels.model.printable` has replaced these
NUMBERS = st.none() | st.integers(0, 2**31 - 1)
ITEMS = st.builds(
    Item,
    series_id=NAMES,
    volume=st.integers(0, 2**31 - 1),
    subject=NAMES,
    session=st.none() | NAMES,
    stratum=NAMES,
    split=st.sampled_from(["train", "validation", "test"]),
    copy=NUMBERS,
    rating=st.none() | st.sampled_from(RATINGS),
    affected=st.lists(st.booleans(), max_size=4).map(tuple),
)
LABELS = st.builds(
    Label,
    target=st.builds(Target, NAMES, NUMBERS, NUMBERS),
    rater=NAMES,
    rating=st.sampled_from(RATINGS),
    comment=st.none() | NAMES,
    sha256=st.none() | NAMES,
    file=NAMES,
    line=NUMBERS,
    as_given=st.lists(NAMES, max_size=2).map(tuple),
)


@st.composite
def materials(draw):
    items = draw(st.lists(ITEMS, min_size=1, max_size=5))
    counts = [draw(st.integers(1, 4)) for _ in items]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    bags = Bags.of([rng.normal(0, 5, (count, 3)).astype(np.float16) for count in counts])
    numbers = rng.integers(0, 200, sum(counts)).astype(np.int32)
    labels = tuple(draw(st.lists(LABELS, max_size=4)))
    return Material(tuple(items), bags, numbers, labels, draw(st.floats(1e-3, 1)))


@settings(deadline=None)
@given(materials())
def test_what_is_read_is_what_was_written(material):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "material.safetensors"
        write_material(path, material)
        found = read_material(path)
    assert found.items == material.items
    assert found.labels == material.labels
    assert found.weight == material.weight
    for one, other in (
        (found.bags.values, material.bags.values),
        (found.bags.counts, material.bags.counts),
        (found.numbers, material.numbers),
    ):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@settings(deadline=None)
@given(materials())
def test_every_item_is_learned_from_or_held_out_with_its_own_slices(material):
    parts = {
        "train": material.learnt,
        "validation": material.held("validation"),
        "test": material.held("test"),
    }
    starts = np.cumsum(material.bags.counts) - material.bags.counts
    for split, part in parts.items():
        rows = [row for row, one in enumerate(material.items) if one.split == split]
        assert part.items == tuple(material.items[row] for row in rows)
        assert part.bags.counts.tolist() == [material.bags.counts[row] for row in rows]
        slices = [
            place
            for row in rows
            for place in range(starts[row], starts[row] + material.bags.counts[row])
        ]
        np.testing.assert_array_equal(part.bags.values, material.bags.values[slices])
        np.testing.assert_array_equal(part.numbers, material.numbers[slices])
        assert (part.labels, part.weight) == (material.labels, material.weight)


BODY = [False, True, True, False]


@pytest.fixture
def made():
    """A rated scan, a trusted one, its copy, all with two slices of the body; a stratum nobody
    knows."""
    rng = np.random.default_rng(0)
    embedded = [
        (one, embedding(rng.normal(0, 1, (4, 3)), BODY))
        for one in (
            item("a"),
            item("b", rating="pass", split="validation"),
            item("b", copy=0, rating="fail", split="validation", affected=(False, True)),
            item("c", stratum="T2w"),
        )
    ]
    levels = fit_levels({"T1w": [one for _, one in embedded[:2]]})
    labels = [label("a", 0, 1, "fail"), label("b", None, None, "questionable")]
    return make_material(embedded, levels, labels, 0.5), embedded, levels


def test_material_has_the_body_slices_of_known_strata(made):
    material, embedded, levels = made
    assert material.items == tuple(one for one, _ in embedded[:3])
    assert material.bags.counts.tolist() == [2, 2, 2]
    assert material.numbers.tolist() == [1, 2] * 3
    np.testing.assert_array_equal(material.bags.values[2:4], levels.bag(embedded[1][1], "T1w"))


def test_labels_are_those_of_the_items_and_of_their_slices(made):
    material, *_ = made
    assert material.volumes.classes.tolist() == [-1, 1, 2]
    assert material.volumes.weights.tolist() == [0, 1, 0.5]
    assert material.slices.classes.tolist() == [2, -1, 1, 1, 0, 2]
    held = material.held("validation")
    assert held.slices.classes.tolist() == [1, 1, 0, 2]
    assert held.slices.sure.tolist() == [False, False, True, True]


def test_the_file_holds_arrays_and_json_and_nothing_that_could_run(made, tmp_path):
    material, *_ = made
    path = tmp_path / "material.safetensors"
    write_material(path, material)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    assert set(header) == {
        "__metadata__", "values", "counts", "numbers", "affected", "n_affected"
    }  # fmt: skip
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
