"""Everything that can go wrong on purpose, on one page.

    BotError
    +-- QuestionError        the person asking can mend it            -> HTTP 422
    |   +-- EmptyQuestion
    |   +-- QuestionTooLong
    +-- NotHere              the client asked for what is not there   -> HTTP 404
    |   +-- DocumentNotFound
    |   +-- PassageNotFound
    +-- CorpusError          the author can mend it                   -> CLI exit 1
    |   +-- DocumentError      one file; the others are still read    -> CLI exit 3
    +-- SettingsError        the operator can mend it                 -> CLI exit 2
    +-- EvaluationError      the author of the questions can mend it  -> CLI exit 1
    +-- CalibrationError     the operator can mend it                 -> CLI exit 1
    +-- ModelError           the operator can mend it                 -> CLI exit 1
    +-- SnapshotError        the operator can mend it                 -> HTTP 503, CLI exit 1
        +-- SnapshotMissing    nothing was built yet
        +-- SnapshotDamaged    bytes differ from what was published
        +-- SnapshotMismatch   built by another encoder, splitter or version
        +-- SnapshotTooLarge   does not fit into the memory that is left
        +-- IndexLocked        another process is building

Messages are for a person, say what happened with the value that caused it, and never repeat a question.
Only ``bot.api`` and ``bot.cli`` turn them into statuses and exit codes.
"""

from __future__ import annotations


class BotError(Exception):
    """Base of every error the bot raises on purpose."""


class QuestionError(BotError):
    """The question cannot be searched for as it stands."""


class EmptyQuestion(QuestionError):
    """There is nothing to look for."""

    def __init__(self) -> None:
        super().__init__("ask a question with at least one letter or number")


class QuestionTooLong(QuestionError):
    """The question is refused before any work is spent on it."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(f"a question has at most {limit:,} characters, this one has {length:,}")


class NotHere(BotError):
    """The address leads nowhere in the current snapshot."""


class DocumentNotFound(NotHere):
    """No document has this id."""

    def __init__(self) -> None:
        super().__init__("no document has this id; GET /v1/documents lists them all")


class PassageNotFound(NotHere):
    """No passage has this id."""

    def __init__(self) -> None:
        super().__init__("no passage has this id in the current snapshot; it may come from an earlier one")


class CorpusError(BotError):
    """The corpus as a whole cannot be read."""


class DocumentError(CorpusError):
    """One file cannot be read; the message is the reason alone, without the file's name."""


class SettingsError(BotError):
    """A setting is wrong or unknown."""


class EvaluationError(BotError):
    """A set of labelled questions cannot be read."""


class CalibrationError(BotError):
    """The operator's own calibration cannot be read, made or kept."""


class ModelError(BotError):
    """The embedding model is missing or is not the one it should be."""


class SnapshotError(BotError):
    """No snapshot can be used as it stands."""


class SnapshotMissing(SnapshotError):
    """Nothing was built yet."""

    def __init__(self, folder: object) -> None:
        super().__init__(f"no snapshot in {str(folder)!r}: run `signpost index` first")


class SnapshotDamaged(SnapshotError):
    """A file of the snapshot is not what was published."""

    def __init__(self, snapshot: str, fault: str) -> None:
        super().__init__(f"snapshot {snapshot[:12]} is damaged: {fault}; run `signpost index` to build a sound one")
        self.fault = fault


class SnapshotMismatch(SnapshotError):
    """The snapshot was built by something else than what would read it."""

    def __init__(self, what: str, built: str, now: str) -> None:
        super().__init__(
            f"the snapshot was built with {what} {built}, but {now} is set now: run `signpost index` to rebuild it"
        )


class SnapshotTooLarge(SnapshotError):
    """To open the snapshot would take more memory than there is."""

    def __init__(self, snapshot: str, needed: int, left: int, limit: int) -> None:
        super().__init__(
            f"snapshot {snapshot[:12]} takes about {needed / 1e6:,.0f} MB of memory to open, but of "
            f"{limit / 1e6:,.0f} MB only {left / 1e6:,.0f} MB are left: give it more, or index fewer documents"
        )


class IndexLocked(SnapshotError):
    """Only one process may build at a time."""

    def __init__(self, folder: object, holder: str) -> None:
        super().__init__(f"another process is building in {str(folder)!r}: locked by pid {holder}; wait for it to end")
