"""Answers that were given lately, for questions that many people ask. Off unless the operator turns it on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from bot.types import Answer


class AnswerCache:
    """Keeps the last answers in memory, and nowhere else: the questions of a worried person are kept by it as well,
    which is why it is off by default. Threads may share one.

    :param size: answers kept; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, key: Hashable, ask: Callable[[], Answer]) -> tuple[Answer, bool]:
        """Return the answer kept under a key, else that of ``ask``; and whether it was kept.

        :param key: all that decides the answer, the snapshot included. Two who ask the same at once may both be
            answered anew: nobody waits for somebody else's question.
        """
        if not self._size:
            return ask(), False
        with self._lock:
            kept = self._answers.get(key)
            if kept is not None:
                self._answers.move_to_end(key)
                return kept, True
        answer = ask()
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return answer, False
