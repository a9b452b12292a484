"""The files that browsers load, and how a page proves that it got the very bytes (Subresource Integrity)."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def asset(name: str) -> bytes:
    """Return one of the package's own files by name, e.g. ``pages.css``."""
    return files("bot.widget").joinpath(name).read_bytes()


@cache
def versioned_script() -> str:
    """Return the name under which this very version of the widget is served for ever."""
    return f"signpost-chat.{hashlib.sha256(asset('signpost-chat.js')).hexdigest()[:12]}.js"


@cache
def integrity() -> str:
    """Return the ``integrity`` attribute of the widget's script: its sha384 (w3.org/TR/SRI)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(asset("signpost-chat.js")).digest()).decode()


def script_tag(service: str) -> str:
    """Return the tag that puts the widget on any page.

    :param service: address of the service, without a slash at its end.
    """
    source = f"{service}/widget/{versioned_script()}"
    return f'<script src="{source}" integrity="{integrity()}" crossorigin="anonymous" defer></script>'
