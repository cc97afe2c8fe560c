"""A wrong configuration stops before any work, naming key, value and what is allowed."""

import pytest
import yaml

from mriqa.config import (
    ConvertSection,
    RatingSection,
    check_config,
    load_config,
    load_section,
    section_json,
)
from mriqa.documents import documents
from mriqa.errors import ConfigError

GOOD = {
    "results": "r",
    "cohort": {"name": "study", "sources": [{"kind": "bids", "path": "b"}]},
}


def changed(path, value):
    """GOOD with one key, given by its dotted path, set to `value`."""
    config = yaml.safe_load(yaml.safe_dump(GOOD))
    node = config
    *parents, last = path.split(".")
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
    return config


def test_defaults_suffice():
    config = check_config(GOOD, "c.yaml")
    assert config.rating.pass_from == 0.8
    assert config.cohort.sources[0].kind == "bids"


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("rating.pass_form", 0.9, ["rating.pass_form", "no such key", "did you mean `pass_from`?"]),
        ("score.bogus", 1, ["score.bogus", "Allowed: foreground_percentile, slices"]),
        ("report", None, ["report: must be keys with values"]),
        ("cohort.exclude_contrasts", "T1w", ["must be a list", "'T1w'"]),
        ("cohort.sources", [{"path": "p"}], ["cohort.sources.0: `kind` is missing", "'folder'"]),
        (
            "cohort.sources",
            [{"kind": "folder", "path": "p", "patern": "x"}],
            ["cohort.sources.0.patern: no such key", "did you mean `pattern`?"],
        ),
        ("rating.pass_from", 1.2, ["rating.pass_from", "1.2", "less than or equal to 1"]),
        ("rating.fail_below", 0.9, ["fail_below 0.9 must not exceed pass_from 0.8"]),
        ("cohort.name", "my study", ["cohort.name", "my study"]),
        ("cohort.sources", [], ["cohort.sources", "at least 1"]),
        ("cohort.sources", [{"kind": "bidz"}], ["cohort.sources.0", "'bids', 'table', 'folder'"]),
        ("cohort.split", {"train": 0.9}, ["cohort.split", "it must be 1"]),
        ("convert.slice_axis", {"T1w": "z"}, ["convert.slice_axis.T1w", "'i', 'j' or 'k'"]),
        ("convert.codec", "gzip", ["convert.codec", "'blosc-zstd' or 'blosc-lz4'"]),
        ("scores", {}, ["scores", "no such key"]),
    ],
)
def test_what_is_wrong_is_named(path, value, named):
    with pytest.raises(ConfigError) as caught:
        check_config(changed(path, value), "c.yaml")
    message = str(caught.value)
    assert message.startswith("c.yaml: ")
    for text in named:
        assert text in message


def test_only_the_wrong_item_of_a_list_is_complained_of():
    with pytest.raises(ConfigError) as caught:
        check_config(changed("cohort.sources", [{"kind": "bidz", "path": "p"}]), "c.yaml")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("results: a\nresults: b\n", "line 2"),
        ("results: a\nrating:\n  pass_from: 0.7\n  pass_from: 0.9\n", "line 4"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path, content, line):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"is there twice; keep one\n.*{line}"):
        load_config(path)


def test_every_problem_is_listed_at_once():
    broken = changed("rating.pass_from", 2) | {"extra": 1}
    with pytest.raises(ConfigError) as caught:
        check_config(broken, "c.yaml")
    assert "rating.pass_from" in str(caught.value)
    assert "extra" in str(caught.value)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "", "\x00"])
def test_not_a_configuration(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(tmp_path / "none.yaml")


def test_section_survives_the_way_through_snakemake():
    section = RatingSection(min_stratum=5, stratum=("contrast",))
    assert load_section(RatingSection, section_json(section)) == section


def test_equal_settings_give_equal_text():
    one = ConvertSection(slice_axis={"a": "i", "b": "k"})
    other = ConvertSection(slice_axis={"b": "k", "a": "i"})
    assert section_json(one) == section_json(other)


@pytest.mark.parametrize("text", ["{", '{"mystery": 1}'])
def test_bad_settings_are_refused(text):
    with pytest.raises(ConfigError, match="--settings"):
        load_section(RatingSection, text)


@pytest.mark.parametrize("name", sorted(documents()))
def test_generated_document_is_current(name, request):
    path = request.config.rootpath / name
    assert path.is_file(), f"{name} is missing: run `make documents`"
    assert path.read_text() == documents()[name], f"{name} is stale: run `make documents`"


def test_default_configuration_is_valid():
    content = yaml.safe_load(documents()["config/config.yaml"])
    config = check_config(content, "config/config.yaml")
    assert config.rating == RatingSection()
    assert config.convert == ConvertSection()
