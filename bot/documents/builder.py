"""Puts canonical text together while keeping note of its blocks, so that offsets are right by construction."""

from __future__ import annotations

from bot.documents.canonical import clean, line
from bot.types import Block, BlockKind

#: Characters; a longer one is read as a paragraph. Headings are repeated with every passage below them.
_LONGEST_HEADING = 1_000


class TextBuilder:
    """Collects blocks in reading order; ``text`` and ``blocks`` are the result."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []

    def add(
        self,
        kind: BlockKind,
        raw: str,
        *,
        level: int = 0,
        mark: str = "",
        page: int | None = None,
        anchor: str | None = None,
    ) -> None:
        """Append a block on lines of its own; ``mark`` (a bullet, a number) stands before it and outside it.

        Items and rows of one list follow each other without a blank line. Blank blocks are dropped.
        """
        text = clean(raw).strip("\n") if kind == "code" else line(raw)
        if not text.strip():
            return
        if kind == "heading" and len(text) > _LONGEST_HEADING:
            kind, level, anchor = "paragraph", 0, None
        if self._blocks:
            tight = kind in ("item", "row") and self._blocks[-1].kind == kind
            self._append("\n" if tight else "\n\n")
        self._append(mark)
        self._blocks.append(Block(kind, self._length, self._length + len(text), level, page, anchor))
        self._append(text)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self._blocks)
