"""What a series is called where its id cannot be: in a store, as a file."""

import hashlib
from urllib.parse import quote

MAX_NAME = 200


def store_array_name(series_id: str) -> str:
    """A name for the array that is safe on any file system and unlike any other id's."""
    name = quote(series_id, safe="")
    if name.startswith((".", "_", "~")):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name
