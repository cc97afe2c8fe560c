"""The cohort whose page these tests read."""

import pytest
from hierarchy_page import SECTION, without_pictures, write_results
from parsed_page import Page

from mriqa.report.page import write_report


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("hierarchy"))


@pytest.fixture(scope="module")
def page(results):
    return Page(write_report(results, SECTION))


@pytest.fixture
def copy(results, tmp_path):
    return without_pictures(results, tmp_path / "results")
