"""A mail (.eml, RFC 5322) -> its subject, who wrote it to whom and when, and its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default
from email.utils import parsedate_to_datetime
from itertools import groupby

from bot.documents.builder import TextBuilder
from bot.documents.canonical import decode, line
from bot.documents.content import Content
from bot.documents.html import add_html
from bot.documents.plain import read_plain
from bot.errors import DocumentError

MAX_DEPTH = 10  # of mails in mails
#: Of parts, of parts with parts of their own, and of lines that may begin a part.
_MOST = {rb"\ncontent-type:": 1_000, rb"boundary=": 100, rb"\n--": 50_000}
_NAMED = 5  # attachments in a note

_LONGEST_HEADER = 4_000  # characters; parsing takes quadratic time
_TEXTS = frozenset(("text/plain", "text/html"))
_SIGNATURES = frozenset(("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"))

_QUOTED = re.compile(r"^(?:> ?)+")


def read_eml(data: bytes) -> Content:
    """Read a mail. Mails that it forwards are sections of it; notes name the attachments, which are not read.

    :raises DocumentError: if it holds more parts than a mail does.
    """
    counts = {sign: len(re.findall(sign, data, re.IGNORECASE)) for sign in _MOST}
    if any(count > _MOST[sign] for sign, count in counts.items()):
        raise DocumentError("holds more parts than a mail does")
    mail = _Mail()
    message = message_from_bytes(data)  # the old policy: the new one takes quadratic time for a long header
    mail.read(message, 1)
    details: dict[str, object] = {}
    if subject := _header(message, "Subject"):
        details["title"] = subject[:300]
    if day := _day(message):
        details["published"] = day
    return Content(mail.builder.text, mail.builder.blocks, details, tuple(mail.notes()))


class _Mail:
    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._attached: list[str] = []
        self._too_deep = 0
        self._damaged = 0

    def read(self, message: Message, level: int) -> None:
        """Append a mail as a section of this level."""
        self.builder.add("heading", _header(message, "Subject"), level=min(level, 6))
        for name in ("From", "To", "Date"):
            if value := _header(message, name):
                self.builder.add("paragraph", f"{name}: {value}")
        self._part(message, level)

    def notes(self) -> Iterator[str]:
        """Say what of the mail is not read."""
        if self._attached:
            names = ", ".join(f"'{name}'" for name in self._attached[:_NAMED])
            more = f" and {len(self._attached) - _NAMED} more" if len(self._attached) > _NAMED else ""
            several = len(self._attached) > 1
            yield f"attachment{'s' * several} {names}{more} {'are' if several else 'is'} not read"
        if self._too_deep:
            yield f"mails in mails are read {MAX_DEPTH} deep; {self._too_deep} beyond are not"
        if self._damaged:
            yield f"{self._damaged} part{'s' * (self._damaged > 1)} may be damaged: the transfer encoding is wrong"

    def _part(self, part: Message, level: int) -> None:
        kind = part.get_content_type()
        if kind == "message/rfc822":
            if level > MAX_DEPTH:
                self._too_deep += 1
                return
            for inner in _parts(part):
                self.read(inner, level + 1)
        elif kind == "multipart/alternative":
            choices = _parts(part)
            readable = [choice for choice in choices if choice.is_multipart() or choice.get_content_type() in _TEXTS]
            best = max(readable or choices, key=_preference, default=None)
            if best is not None:
                self._part(best, level)
        elif part.is_multipart():
            for inner in _parts(part):
                self._part(inner, level)
        elif kind in _TEXTS and part.get_content_disposition() != "attachment":
            text, whole = _words(part)
            self._damaged += not whole
            if kind == "text/html":
                add_html(text, self.builder, anchors=False)
            else:
                self._plain(text)
        elif kind not in _SIGNATURES and not (kind.startswith("image/") and "Content-ID" in part):  # shown in the HTML
            self._attached.append(_name(part) or kind)

    def _plain(self, text: str) -> None:
        """Append plain text. What it quotes, line by line after ">", is put together like the rest.

        Its greeting and signature look like headings, so nothing is taken for one.
        """
        before = ""  # the quote
        for quoted, run in groupby(text.replace("\r\n", "\n").split("\n"), lambda words: words.startswith(">")):
            lines = list(run)
            marked = quoted and len(lines) == 1 and not before.endswith(":")  # "> 18 years" is no quote
            for _, same in groupby(lines, _depth):
                self._paragraphs("\n".join(words if marked else _QUOTED.sub("", words) for words in same))
            before = next((words.strip() for words in reversed(lines) if words.strip()), before)

    def _paragraphs(self, text: str) -> None:
        content = read_plain(text)
        for block in content.blocks:
            words = content.text[block.start : block.end]
            if block.kind == "item":
                mark = content.text[content.text.rfind("\n", 0, block.start) + 1 : block.start]
                self.builder.add("item", words, mark=mark)
            else:
                self.builder.add("paragraph", words)


def _parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [inner for inner in payload if isinstance(inner, Message)] if isinstance(payload, list) else []


def _depth(words: str) -> int:
    """How many quotes a line stands in."""
    match = _QUOTED.match(words)
    return match[0].count(">") if match else 0


def _preference(part: Message) -> int:
    """How good a form of the same mail is: its length, where plain text counts more unless it is a mere stub."""
    if part.is_multipart():
        return max(map(_preference, _parts(part)), default=0)
    text, _ = _words(part) if part.get_content_type() in _TEXTS else ("", True)
    if part.get_content_type() == "text/plain":
        return 3 * len(text.strip())
    builder = TextBuilder()
    add_html(text, builder)
    return len(builder.text)


def _words(part: Message) -> tuple[str, bool]:
    """Return the text of a part, and whether it came through whole."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or not payload.strip():
        return "", not part.defects
    try:
        return payload.decode(part.get_content_charset("utf-8")), not part.defects
    except (LookupError, ValueError):
        pass
    try:
        return decode(payload), not part.defects
    except DocumentError:
        return payload.decode("utf-8", "replace"), False


def _header(message: Message, name: str) -> str:
    """Return a header on one line, decoded; an empty text where there is none."""
    return _decoded(name, next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""))


def _name(part: Message) -> str:
    return _decoded("Subject", part.get_filename() or "")[:100]


def _decoded(name: str, raw: str) -> str:
    raw = raw[:_LONGEST_HEADER].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return line(str(default.header_fetch_parse(name, raw)))
    except Exception:  # the standard library fails in many ways on damaged headers
        return line(raw)


def _day(message: Message) -> str | None:
    """Return the day on which the mail was written, where its author was."""
    try:
        return parsedate_to_datetime(_header(message, "Date")).date().isoformat()
    except (TypeError, ValueError, OverflowError):
        return None
