"""Hits -> an Answer: the marked sentence, exact citations, and honesty when there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote as percent_encode

from bot.confidence import Calibration, judge, unknown_words
from bot.explain import explain_answer
from bot.language import NAMES
from bot.query import Query
from bot.snapshot import Snapshot
from bot.store import Documents
from bot.types import Answer, Citation, CitedPassage, Document, Hit, Links, Passage, Quote, Span

#: A text fragment names this many words at each end of the quote; one that is no longer is named whole.
_FRAGMENT_WORDS = 5

#: Digits of a document's sha256 in a link to it.
_TOLD = 12


def make_answer(
    question: str,
    query: Query,
    hits: Sequence[Hit],
    snapshot: Snapshot,
    *,
    top_k: int,
    calibration: Calibration,
    starters: Sequence[str] = (),
    explain: bool = False,
) -> Answer:
    """Put an answer together. Every quote in it is a stretch of a document; nothing is written here but notes."""
    verdict = judge(query, hits, snapshot, calibration)
    found = verdict.status != "not_found"
    return Answer(
        question=question,
        status=verdict.status,
        confidence=verdict.confidence,
        quote=_quote(query, hits[0], snapshot) if found else None,
        passages=tuple(_cite(query, hit, hits[:top_k], snapshot) for hit in hits[:top_k]),
        unknown_words=() if found or query.foreign else unknown_words(query.text, snapshot.lexical),
        suggestions=() if found else tuple(starters),
        corrections=query.corrections,
        expansions=query.expansions,
        borrowed=query.borrowed,
        notes=tuple(_notes(query, hits)),
        snapshot=snapshot.id,
        explanation=explain_answer(query, hits[:top_k], verdict, snapshot, calibration) if explain else None,
    )


def _notes(query: Query, hits: Sequence[Hit]) -> Iterator[str]:
    """Say what the quote alone does not, and claim no more than that.

    Whether a name stands in the list that was looked through; that a question's language is not understood.
    """
    lookup = query.lookup
    if lookup is not None and hits and lookup.is_in(hits[0].passage):
        yield f"{lookup.name} is {'not ' if lookup.entry is None else ''}named in this list."
    if query.foreign is not None:
        yield (
            f"This question seems to be in {NAMES[query.foreign]}, which this search does not understand: "
            "what is shown was found by names and numbers only."
        )


def _quote(query: Query, hit: Hit, snapshot: Snapshot) -> Quote:
    """The marked sentence; of a list that a name is not in, its heading."""
    lookup = query.lookup
    if lookup is not None and _lacks_entry(query, hit) and lookup.list.heading is not None:
        start, end = lookup.list.heading
        return Quote(snapshot.documents[hit.passage.document].text[start:end], hit.passage.id, start, end)
    start, end = hit.passage.sentences[hit.best_sentence]
    return Quote(hit.passage.sentence_text(hit.best_sentence), hit.passage.id, start, end)


def _lacks_entry(query: Query, hit: Hit) -> bool:
    """Whether a passage is where the name that is asked about would stand, if it stood in the list."""
    lookup = query.lookup
    return lookup is not None and lookup.entry is None and lookup.is_in(hit.passage)


def _cite(query: Query, hit: Hit, hits: Sequence[Hit], snapshot: Snapshot) -> CitedPassage:
    passage = hit.passage
    beside = (other.passage for other in hits if other is not hit and other.passage.document == passage.document)
    others = [Span(other.start, other.end) for other in beside]
    marked = passage.sentences[hit.best_sentence]
    return CitedPassage(
        hit=hit,
        citation=cite(passage, snapshot.documents, marked, others),
        elsewhere=tuple(
            cite(other, snapshot.documents, _same_sentence(passage, marked, other)) for other in hit.elsewhere
        ),
        highlights=()
        if _lacks_entry(query, hit)  # none of its entries is the one
        else (Span(marked.start - passage.start, marked.end - passage.start),),
    )


def _same_sentence(passage: Passage, marked: Span, other: Passage) -> Span:
    """Where another passage has the marked sentence; its first sentence where the words differ."""
    words = passage.text[marked.start - passage.start : marked.end - passage.start]
    texts = [other.sentence_text(number) for number in range(len(other.sentences))]
    return other.sentences[texts.index(words) if words in texts else 0]


def cite(passage: Passage, documents: Documents, marked: Span, others: Sequence[Span] = ()) -> Citation:
    """Say where a passage stands; a link into the source points at the marked sentence.

    :param others: stretches of the document that the same answer cites.
    """
    record = documents.record(passage.document)
    return Citation(
        document=record.id,
        sha256=record.sha256,
        start=passage.start,
        end=passage.end,
        headings=passage.headings,
        page=passage.page,
        source=record.source,
        links=Links(
            viewer=viewer_link(passage.document, record.sha256, Span(passage.start, passage.end), others),
            source=record.source.url,
            source_at_passage=None
            if record.source.url is None
            else _link_into_source(record.source.url, documents, passage, marked),
        ),
    )


def viewer_link(document: str, sha256: str, place: Span, others: Sequence[Span] = ()) -> str:
    """Return the address, on this service, of a stretch of a document.

    :param sha256: of the document; its beginning tells the viewer whether the link is to what it shows.
    :param others: stretches of it that the same answer cites.
    """
    stretch = f"{place.start}-{place.end}"
    also = ",".join(f"{start}-{end}" for start, end in others)
    return (
        f"/documents/{percent_encode(document, safe='/')}"
        f"?passage={stretch}&of={sha256[:_TOLD]}{'&also=' if also else ''}{also}#p{stretch}"
    )


def _link_into_source(url: str, documents: Documents, passage: Passage, marked: Span) -> str | None:
    """Return the source's URL with what leads into it: words, else the page of a PDF, else the heading's anchor."""
    if passage.document.lower().endswith(".pdf") and "#" not in url:
        return f"{url}#page={passage.page}" if passage.page is not None else None  # RFC 8118
    document = documents[passage.document]
    words = _with_words(url, document, marked)
    return words if words or "#" in url else _with_anchor(url, document, passage)


def _with_words(url: str, document: Document, marked: Span) -> str | None:
    """A text fragment (wicg.github.io/scroll-to-text-fragment).

    Only where the document is the very text at its URL, and the fragment's first words stand there once: elsewhere
    the link would lead to the wrong place, or silently to the top.
    """
    if not document.source.verbatim:
        return None
    words = document.text[marked.start : marked.end].split()
    ends = [words] if len(words) <= 2 * _FRAGMENT_WORDS else [words[:_FRAGMENT_WORDS], words[-_FRAGMENT_WORDS:]]
    if " ".join(document.text.split()).casefold().count(" ".join(ends[0]).casefold()) != 1:  # as browsers match
        return None
    fragment = ",".join(percent_encode(" ".join(end), safe="").replace("-", "%2D") for end in ends)
    return f"{url}{'' if '#' in url else '#'}:~:text={fragment}"


def _with_anchor(url: str, document: Document, passage: Passage) -> str | None:
    before = (b for b in reversed(document.blocks) if b.kind == "heading" and b.start <= passage.start)
    heading = next(before, None)
    return f"{url}#{percent_encode(heading.anchor, safe='')}" if heading and heading.anchor else None
