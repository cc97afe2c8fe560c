"""A report's page as a browser's parser sees it."""

import base64
import io
from html.parser import HTMLParser

from PIL import Image

HOSTILE = "\"'></td></table><script>document.title='owned'</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.elements, self.data = [], []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.data.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.data).split())


def decoded(uri):
    """The picture in a `data:` URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
