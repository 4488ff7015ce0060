"""What the HTML and Markdown pages share: their templates, and files embedded in them."""

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=lambda name: name is not None and ".html" in name,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
"""Templates of this folder; what is put into an HTML page is escaped."""


def data_uri(data: bytes, kind: str) -> str:
    """A file's content as an address that a page can hold; ``kind`` is its media type, such as image/png."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
