"""A small copy of the page for `snakemake --report`, which embeds it as one data URI.

Chromium shows nothing of a data URI beyond 2 MiB, in which a page has 4 characters for 3 bytes.
"""

import base64
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from PIL import Image

from mriqa.report.mosaic import data_uri
from mriqa.report.pictures import Picture

MAX_PAGE_BYTES = 1_500_000
"""Of the small copy: a data URI of it stays some 100 kB below 2 MiB."""
QUALITY = 70
ATTEMPTS = 6
Key = TypeVar("Key")


def shrink(pictures: Mapping[Key, Picture], budget_bytes: int) -> dict[Key, Picture]:
    """The same pictures, each at most its even share of `budget_bytes` of the page, or left out."""
    share = budget_bytes // max(1, len(pictures))
    return {key: _shrunk(picture, share) for key, picture in pictures.items()}


def _shrunk(picture: Picture, most: int) -> Picture:
    if picture.uri is None or len(picture.uri) <= most:
        return picture
    image = Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("L")
    small, scale = image, 1.0
    for _ in range(ATTEMPTS):
        uri = data_uri(small, QUALITY)
        if len(uri) <= most:
            return replace(picture, uri=uri, width=small.width, height=small.height)
        scale *= 0.97 * max(0.1, most / len(uri)) ** 0.5
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.resize(size, Image.Resampling.LANCZOS)
    return replace(picture, uri=None, problem="too large for this small copy of the page")
