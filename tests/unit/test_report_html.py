"""Untrusted text stays text."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mriqa.report.html import Html, element, escaped, joined, shown, table


class Parsed(HTMLParser):
    """Tags and texts as a browser's parser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


NASTY = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "</p>", "&lt;", "\x00<b>"]
)


@given(NASTY, NASTY)
def test_any_text_comes_back_as_the_same_text_and_attribute(text, attribute):
    parsed = Parsed(element("p", text, title=attribute))
    assert [tag for tag, _ in parsed.tags] == ["p"]
    assert "".join(parsed.texts).replace("\r", "\n") == shown(text).replace("\r", "\n")
    assert parsed.tags[0][1] == {"title": shown(attribute)}


def test_markup_goes_in_as_it_is_but_not_into_attributes():
    assert element("p", element("b", "x")) == "<p><b>x</b></p>"
    assert element("p", title=Html('"><b>')) == '<p title="&quot;&gt;&lt;b&gt;"></p>'


def test_joining_markup_with_text_escapes_the_text():
    assert joined([element("b", "x"), "<", None, 3]) == "<b>x</b>&lt;3"
    assert isinstance(escaped("<"), Html)


@pytest.mark.parametrize("name", ["a b", "p><script", "", "1p", 'x="y"'])
def test_text_cannot_become_a_name(name):
    with pytest.raises(ValueError, match="cannot be the name"):
        element(name)
    with pytest.raises(ValueError, match="cannot be the name"):
        element("p", **{name: "x"})


def test_attributes_none_false_and_true():
    assert element("td", 1, class_=None, hidden=False, data_x=True) == "<td data-x>1</td>"
    assert element("img", src="a", aria_label="b") == '<img src="a" aria-label="b">'


def test_text_that_reorders_or_hides_its_surroundings_is_made_visible():
    assert shown("a\u202eb\u2066c") == "a\\u202eb\\u2066c"
    assert shown("a\x00\x1bb\ud800") == "a\ufffd\ufffdb\ufffd"
    assert shown("ä ß 心\n\t") == "ä ß 心\n\t"


def test_a_table_has_a_caption_headers_and_numbers_to_the_right():
    text = table("Things", ["name", "n", "share"], [["a", "1,234", "5.0%"], ["b", "–", "1.5%"]])
    parsed = Parsed(text)
    scopes = [attrs.get("scope") for tag, attrs in parsed.tags if tag == "th"]
    assert scopes == ["col", "col", "col", "row", "row"]
    assert [attrs for tag, attrs in parsed.tags if tag == "td"] == [{"class": "n"}] * 4
    assert "Things" in parsed.texts


def test_an_empty_table_keeps_its_head():
    assert [tag for tag, _ in Parsed(table("None", ["a", "b"], [])).tags].count("th") == 2
