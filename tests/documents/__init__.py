"""Tests of the readers: from bytes and markup to canonical text and its blocks."""

from __future__ import annotations

from bot.documents.content import Content


def pieces(content: Content) -> list[tuple[str, str]]:
    """Return each block's kind (``h2`` for a heading of level 2) and its words, as its offsets give them.

    Fails unless the blocks lie inside the text, in order, apart from each other and without space around them.
    """
    found = []
    end = 0
    for block in content.blocks:
        assert end <= block.start <= block.end <= len(content.text)
        end = block.end
        words = content.text[block.start : block.end]
        assert words == (words.strip("\n") if block.kind == "code" else words.strip())
        assert (block.kind == "heading") == (1 <= block.level <= 6)
        found.append((f"h{block.level}" if block.level else block.kind, words))
    return found
