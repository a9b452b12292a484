"""Answer questions from a folder of documents by quoting them, with the exact source of every quote."""

__version__ = "0.1.0"
