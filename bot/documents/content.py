"""What a reader makes of one file, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.types import Block

#: Part of a snapshot's identity: raise it when the same file would be read differently.
READERS_VERSION = 4


@dataclass(frozen=True, slots=True)
class Content:
    """Canonical text, its blocks, and what the file says of itself, by front matter key, as written.

    ``notes`` say, for the operator, what of the file could not be read, or was left out.
    """

    text: str
    blocks: tuple[Block, ...]
    details: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
