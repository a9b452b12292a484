"""What travels over HTTP. Separate from ``bot.types`` so that each can change alone."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.documents.canonical import line
from bot.settings import MAX_QUESTION
from bot.types import (
    Answer,
    Citation,
    CitedPassage,
    Correction,
    Document,
    Explanation,
    Filters,
    Links,
    Passage,
    Scores,
    Source,
    Sourced,
    Status,
    Turn,
)

ShortText = Annotated[str, StringConstraints(max_length=500)]
ShortTexts = Annotated[list[ShortText], Field(max_length=50)]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TurnIn(_Wire):
    question: Annotated[str, StringConstraints(max_length=MAX_QUESTION)]
    passages: Annotated[
        list[ShortText], Field(max_length=20, description="ids of the passages that were shown, best first")
    ] = []

    def to_turn(self) -> Turn:
        return Turn(line(self.question), tuple(self.passages))


class FiltersIn(_Wire):
    """Which documents may be quoted; an empty list does not limit."""

    publisher: ShortTexts = []
    document: ShortTexts = []
    language: ShortTexts = []

    def to_filters(self) -> Filters:
        return Filters(tuple(self.publisher), tuple(self.document), tuple(self.language))


class AskIn(_Wire):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"question": "How many hotlines does INHOPE have?", "top_k": 3}]},
    )

    question: str = Field(min_length=1, max_length=MAX_QUESTION, description="what a person wants to know")
    top_k: int = Field(5, ge=1, le=20, strict=True, description="most passages to return")
    turns: Annotated[list[TurnIn], Field(max_length=20)] = Field(
        [], description="the conversation so far, oldest first; nothing of it is kept here"
    )
    filters: FiltersIn = Field(default_factory=FiltersIn)
    explain: bool = Field(False, strict=True, description="also return the scores, matches and reasons")


class SpanOut(BaseModel):
    start: int
    end: int


class QuoteOut(BaseModel):
    text: str = Field(description="the marked sentence, verbatim")
    passage: str = Field(description="id of the passage that it stands in")
    start: int = Field(description="in code points, from the start of the document's canonical text")
    end: int


class LinksOut(BaseModel):
    viewer: str = Field(description="on this service, opens at the passage")
    source: str | None = Field(description="the publisher's page")
    source_at_passage: str | None = Field(description="the same at the quote; only for verbatim documents")

    @classmethod
    def of(cls, links: Links) -> LinksOut:
        return cls(viewer=links.viewer, source=links.source, source_at_passage=links.source_at_passage)


class SourceOut(BaseModel):
    """As the document states it; what it does not state is null."""

    title: str
    publisher: str | None
    url: str | None
    published: date | None
    updated: date | None
    language: str | None


class CitationOut(SourceOut):
    document: str
    sha256: str = Field(description="of the document's file")
    start: int
    end: int
    headings: list[str]
    page: int | None
    links: LinksOut

    @classmethod
    def of(cls, citation: Citation) -> CitationOut:
        source = citation.source
        return cls(
            document=citation.document,
            sha256=citation.sha256,
            start=citation.start,
            end=citation.end,
            headings=list(citation.headings),
            page=citation.page,
            title=source.title,
            publisher=source.publisher,
            url=source.url,
            published=source.published,
            updated=source.updated,
            language=source.language,
            links=LinksOut.of(citation.links),
        )


class ScoresOut(BaseModel):
    passage: float = Field(description="cosine of question and passage, -1 to 1")
    sentence: float = Field(description="cosine of question and best sentence, -1 to 1")
    lexical: float = Field(
        description="BM25 as a share, 0 to 1, of the highest that the question could reach; borrowed words add to it"
    )
    around_passage: float = Field(description="mean cosine of the passages around it, -1 to 1")
    around_lexical: float = Field(description="mean of `lexical` over the passages around it, 0 to 1")
    bonus: float = Field(description="for the kind of thing that is asked for, or the place in a list")

    @classmethod
    def of(cls, scores: Scores) -> ScoresOut:
        return cls(**{name: getattr(scores, name) for name in cls.model_fields})


class PassageOut(BaseModel):
    id: str
    text: str = Field(description="verbatim: the document's text from start to end")
    score: float = Field(description="higher is better; passages are in this order")
    highlights: list[SpanOut] = Field(description="in code points, from the start of this passage")
    citation: CitationOut
    elsewhere: list[CitationOut] = Field(description="other places that say the same in almost the same words")
    scores: ScoresOut | None = Field(None, description="only when `explain` was asked for")

    @classmethod
    def of(cls, cited: CitedPassage, *, explain: bool) -> PassageOut:
        hit = cited.hit
        return cls(
            id=hit.passage.id,
            text=hit.passage.text,
            score=hit.scores.total,
            highlights=[SpanOut(start=span.start, end=span.end) for span in cited.highlights],
            citation=CitationOut.of(cited.citation),
            elsewhere=[CitationOut.of(other) for other in cited.elsewhere],
            scores=ScoresOut.of(hit.scores) if explain else None,
        )


class CorrectionOut(BaseModel):
    written: str
    searched: str

    @classmethod
    def of(cls, correction: Correction) -> CorrectionOut:
        return cls(written=correction.written, searched=correction.searched)


class ExplanationOut(BaseModel):
    matched: list[list[str]] = Field(description="for each passage, the words of the question that it has")
    signals: dict[str, float] = Field(description="what the confidence was made of, by name")
    reasons: list[str] = Field(description="why the status is what it is, in words")

    @classmethod
    def of(cls, explanation: Explanation) -> ExplanationOut:
        return cls(
            matched=[list(words) for words in explanation.matched],
            signals=dict(explanation.signals),
            reasons=list(explanation.reasons),
        )


class AnswerOut(BaseModel):
    status: Status
    confidence: float = Field(ge=0, le=1, description="probability that the passages answer the question")
    answer: QuoteOut | None = Field(description="null when the status is not_found")
    passages: list[PassageOut] = Field(description="best first; near misses when the status is not_found")
    borrowed: list[str] = Field(description="words of earlier questions that this one was read with")
    unknown_words: list[str] = Field(description="words of the question that the documents never use")
    suggestions: list[str] = Field(description="questions that the documents do answer, when this one is not")
    corrections: list[CorrectionOut] = Field(description="words taken for misspelt, and what was searched for instead")
    expansions: list[CorrectionOut] = Field(description="short forms, and what was searched for as well")
    notes: list[str] = Field(description="what the quote alone does not say, e.g. that a name is not in this list")
    explanation: ExplanationOut | None = Field(None, description="only when `explain` was asked for")
    support: None = Field(None, description="reserved for help contacts")
    snapshot: str = Field(description="id of the index that was asked")
    took_ms: float

    @classmethod
    def of(cls, answer: Answer, *, took_ms: float) -> AnswerOut:
        quote = answer.quote
        return cls(
            status=answer.status,
            confidence=answer.confidence,
            answer=quote and QuoteOut(text=quote.text, passage=quote.passage, start=quote.start, end=quote.end),
            passages=[PassageOut.of(cited, explain=answer.explanation is not None) for cited in answer.passages],
            borrowed=list(answer.borrowed),
            unknown_words=list(answer.unknown_words),
            suggestions=list(answer.suggestions),
            corrections=[CorrectionOut.of(correction) for correction in answer.corrections],
            expansions=[CorrectionOut.of(expansion) for expansion in answer.expansions],
            notes=list(answer.notes),
            explanation=answer.explanation and ExplanationOut.of(answer.explanation),
            snapshot=answer.snapshot,
            took_ms=round(took_ms, 1),
        )


class DocumentOut(SourceOut):
    id: str
    sha256: str
    retrieved: date | None
    licence: str | None
    verbatim: bool | None = Field(
        description="true if the text is the very text at the url, false if it says it in other words"
    )
    characters: int

    @classmethod
    def of(cls, document: Sourced) -> DocumentOut:
        return cls(**_record(document))


class DocumentTextOut(DocumentOut):
    text: str = Field(description="the canonical text that every offset refers to")

    @classmethod
    def with_text(cls, document: Document) -> DocumentTextOut:
        return cls(**_record(document), text=document.text)


def _record(document: Sourced) -> dict[str, object]:
    source: Source = document.source
    return {
        "id": document.id,
        "sha256": document.sha256,
        "title": source.title,
        "publisher": source.publisher,
        "url": source.url,
        "published": source.published,
        "updated": source.updated,
        "retrieved": source.retrieved,
        "language": source.language,
        "licence": source.licence,
        "verbatim": source.verbatim,
        "characters": document.characters,
    }


class ReindexOut(BaseModel):
    status: Literal["started"]


class DocumentsOut(BaseModel):
    documents: list[DocumentOut]
    snapshot: str


class OnePassageOut(BaseModel):
    id: str
    text: str
    citation: CitationOut

    @classmethod
    def of(cls, passage: Passage, citation: Citation) -> OnePassageOut:
        return cls(id=passage.id, text=passage.text, citation=CitationOut.of(citation))


class SuggestionsOut(BaseModel):
    """What a chat window says before the first question."""

    suggestions: list[str] = Field(description="questions that the documents answer, at most four")
    name: str = Field(description="what the service is called")
    greeting: str | None = Field(description="what the operator has it say first")
    limit: int = Field(description="most characters, in code points, that a question may have")
    feedback: bool = Field(description="whether `POST /v1/feedback` counts")


class FeedbackIn(_Wire):
    """Whether an answer helped. Nothing of the question or the answer travels with it."""

    status: Status
    helpful: bool | None = Field(strict=True, description="null takes back what was said before")


class HealthOut(BaseModel):
    status: str
    snapshot: str | None = None
    documents: int | None = None
    passages: int | None = None


class Problem(BaseModel):
    """The one shape of every error. It never repeats what was sent."""

    error: str = Field(examples=["QuestionTooLong"])
    detail: str = Field(examples=["a question has at most 1,000 characters, this one has 1,204"])
    request_id: str = Field(examples=["0b5c2c1f8d7e4a6b"])
