"""What a reader of a mail may rely on: who wrote what to whom and when, and a note on all that is not read."""

from __future__ import annotations

import os
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.documents.frontmatter import source_record
from bot.documents.mail import MAX_DEPTH, read_eml
from bot.errors import DocumentError
from tests.documents import pieces


def mail(text: str | None = "The pier opens in May.", subject: str = "Opening of the pier – news") -> EmailMessage:
    message = EmailMessage(policy=policy.default)
    message["Subject"] = subject
    message["From"] = "Ida Bërg <ida@port.example>"
    message["To"] = "all@port.example"
    message["Cc"] = "secret@port.example"
    message["Date"] = "Mon, 04 Mar 2024 23:30:00 -0500"
    if text is not None:
        message.set_content(text)
    return message


HEAD = [
    ("h1", "Opening of the pier – news"),
    ("paragraph", "From: Ida Bërg <ida@port.example>"),
    ("paragraph", "To: all@port.example"),
    ("paragraph", "Date: Mon, 04 Mar 2024 23:30:00 -0500"),
]


def body(message: EmailMessage) -> list[tuple[str, str]]:
    found = pieces(read_eml(message.as_bytes()))
    assert found[:4] == HEAD
    return found[4:]


def test_a_mail_says_who_wrote_what_to_whom_and_when() -> None:
    text = "Dear all\n\nThe pier opens in May, when the paint on its planks\nhas dried. Bring:\n\n- a hat\n\nIda\n"
    assert body(mail(text)) == [
        ("paragraph", "Dear all"),
        ("paragraph", "The pier opens in May, when the paint on its planks has dried. Bring:"),
        ("item", "a hat"),
        ("paragraph", "Ida"),
    ]


def test_its_subject_is_the_title_and_its_date_where_it_was_written_the_day() -> None:
    source, _, notes = source_record(read_eml(mail().as_bytes()).details, "x")
    assert (source.title, str(source.published), source.url) == ("Opening of the pier – news", "2024-03-04", None)
    assert notes == []


def test_what_it_quotes_is_put_together_without_the_marks() -> None:
    quoted = "> Is the pier that we used to walk along on Sundays open\n> now?\n>> Ask Jo."
    text = f"No.\n\nJo wrote:\n{quoted}\n\n> 18 years: 5 pounds\n"
    assert [words for _, words in body(mail(text))] == [
        "No.",
        "Jo wrote:",
        "Is the pier that we used to walk along on Sundays open now?",
        "Ask Jo.",
        "> 18 years: 5 pounds",
    ]


def test_plain_text_is_preferred_to_html_unless_it_is_a_stub() -> None:
    message = mail("The pier opens in May.")
    message.add_alternative("<p>The <b>pier</b> opens in May!</p>", subtype="html")
    assert body(message) == [("paragraph", "The pier opens in May.")]
    stub = mail("View this in a browser.")
    stub.add_alternative(f"<h2>Piers</h2><p>{'The pier opens in May. ' * 9}</p>", subtype="html")
    assert [kind for kind, _ in body(stub)] == ["h2", "paragraph"]


def test_attachments_are_named_and_not_read() -> None:
    message = mail()
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="plan ü.pdf")
    content = read_eml(message.as_bytes())
    assert content.notes == ("attachment 'plan ü.pdf' is not read",)
    message.add_attachment("words in a file", filename="notes.txt")
    content = read_eml(message.as_bytes())
    assert content.notes == ("attachments 'plan ü.pdf', 'notes.txt' are not read",)
    assert "words in a file" not in content.text


def test_a_picture_in_the_text_is_no_attachment() -> None:
    message = mail(None)
    message.set_content("<p>See <img src=cid:a></p>", subtype="html")
    message.add_related(b"\x89PNG", "image", "png", cid="<a>", filename="a.png")
    assert read_eml(message.as_bytes()).notes == ()


def forwarded(depth: int) -> EmailMessage:
    message = mail(f"level {depth}", f"Mail {depth}")
    for number in reversed(range(depth)):
        outer = mail(f"level {number}", f"Mail {number}")
        outer.add_attachment(message)
        message = outer
    return message


def test_mails_in_a_mail_are_sections_of_it() -> None:
    content = read_eml(forwarded(8).as_bytes())
    assert [kind for kind, _ in pieces(content) if kind != "paragraph"] == ["h1", "h2", "h3", "h4", "h5"] + ["h6"] * 4
    assert "level 8" in content.text and content.notes == ()


def test_what_is_nested_too_deeply_is_noted() -> None:
    content = read_eml(forwarded(MAX_DEPTH + 2).as_bytes())
    assert f"level {MAX_DEPTH}" in content.text and f"level {MAX_DEPTH + 1}" not in content.text
    assert content.notes == ("mails in mails are read 10 deep; 1 beyond are not",)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: message/rfc822\n\n" * 2_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(900)),
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: text/plain\n\nx\n" * 2_000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 60_000,
    ],
)
def test_a_mail_of_too_many_parts_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match="parts"):
        read_eml(data)


@pytest.mark.parametrize("header", ["Subject", "From", "To", "Date", "Content-Type", "Content-Disposition", "X-Spam"])
@pytest.mark.parametrize(
    "value", ["=?utf-8?q?a?= " * 20_000, "<" * 100_000, "(" * 100_000, "a@b," * 50_000, ";a=" * 50_000]
)
def test_a_long_header_does_not_take_long(header: str, value: str) -> None:
    read_eml(f"{header}: {value}\n\nHello\n".encode())


@pytest.mark.parametrize(
    ("charset", "data"),
    [
        ("utf-8", "Le café fermé à midi est déjà vendu: Café".encode("cp1252")),
        ("x-none", "Café".encode()),
        ("cp1252", b"Caf\xe9"),
    ],
)
def test_a_wrong_charset_costs_no_word(charset: str, data: bytes) -> None:
    content = read_eml(b"Subject: x\nContent-Type: text/plain; charset=%s\n\n%s au lait" % (charset.encode(), data))
    assert content.text.endswith("Café au lait")
    assert content.notes == ()


def test_a_damaged_part_is_noted() -> None:
    content = read_eml(b"Content-Transfer-Encoding: base64\n\nSGVsbG8gdGhlcmU$$\n")
    assert content.text.startswith("Hello there")
    assert content.notes == ("1 part may be damaged: the transfer encoding is wrong",)


def test_a_sentence_is_found_wherever_it_stands() -> None:
    lines = [f"Filler {number} is here." for number in range(1_000)]
    for place in (0, 500, 999):
        lines[place] = f"Needle {place} is found."
    text = read_eml(mail("\n\n".join(lines)).as_bytes()).text
    assert all(f"Needle {place} is found." in text for place in (0, 500, 999))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_anything_can_be_read(data: bytes) -> None:
    pieces(read_eml(data))


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_damage_to_a_mail_can_be_read(data: st.DataObject) -> None:
    message = mail()
    message.add_alternative("<p>The pier.</p>", subtype="html")
    message.add_attachment(os.urandom(20), maintype="application", subtype="pdf", filename="a.pdf")
    raw = bytearray(message.as_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=20)):
        raw[place] = data.draw(st.integers(0, 255))
    pieces(read_eml(bytes(raw)))
