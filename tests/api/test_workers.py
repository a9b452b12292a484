"""Several processes answer as one; each can end without the others."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.settings import Settings
from tests.servers import Service, alive, answers, connected, exchange, reply_on, request, serving, until

ASK = b'{"question": "How fast may a boat go in the harbour?"}'


@pytest.fixture
def service(island: Settings, tmp_path: Path) -> Iterator[Service]:
    with serving(island, tmp_path, workers="2") as service:
        until(lambda: len(service.workers()) == 2)
        yield service


def counted(service: Service) -> float:
    text = exchange(service.port, request("GET", "/metrics")).body.decode()
    return sum(float(value) for value in re.findall(r'signpost_http_requests_total\{[^}]*"/v1/ask"[^}]*\} (\S+)', text))


def test_both_answer_and_what_they_count_is_added_up(service: Service) -> None:
    first, second = service.workers()
    bodies = set()
    for stopped, number in ((first, 3), (second, 4)):
        os.kill(stopped, signal.SIGSTOP)  # so that the other one answers
        try:
            for _ in range(number):
                reply = exchange(service.port, request("POST", "/v1/ask", ASK))
                assert reply.status == 200
                bodies.add(re.sub(rb'"took_ms":[^,}]+', b"", reply.body))
        finally:
            os.kill(stopped, signal.SIGCONT)
    assert len(bodies) == 1
    assert counted(service) == 7


def test_a_worker_that_is_killed_is_back_and_the_other_never_stops(service: Service) -> None:
    first, second = service.workers()
    os.kill(first, signal.SIGSTOP)
    with connected(service.port) as client:  # to the other one
        for _ in range(3):
            client.sendall(request("POST", "/v1/ask", ASK, close=False))
            assert reply_on(client).status == 200
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in service.workers() and len(service.workers()) == 2)
        client.sendall(request("POST", "/v1/ask", ASK))
        assert reply_on(client).status == 200
    assert second in service.workers()
    os.kill(second, signal.SIGSTOP)
    try:
        until(lambda: answers(service.port))  # by the new one
    finally:
        os.kill(second, signal.SIGCONT)
    assert counted(service) == 4, "what a worker counted is kept when it ends"
    assert service.log.read_text().count("is begun again") == 1


def test_sigterm_lets_what_was_asked_be_answered_and_ends_them_all(service: Service) -> None:
    workers = service.workers()
    clients = [connected(service.port) for _ in range(8)]
    try:
        for client in clients:
            client.sendall(request("GET", "/health/live", close=False))
            assert reply_on(client).status == 200
        for client in clients:
            client.sendall(request("POST", "/v1/ask", ASK, close=False)[:-1])
        service.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.sendall(ASK[-1:])
        assert [reply_on(client).status for client in clients] == [200] * 8
    finally:
        for client in clients:
            client.close()
    assert service.process.wait(20) == 0
    assert not any(map(alive, workers))
    assert "Traceback" not in service.log.read_text()


def test_when_the_first_process_is_killed_so_are_the_workers(service: Service) -> None:
    workers = service.workers()
    service.process.kill()
    service.process.wait(20)
    until(lambda: not any(map(alive, workers)))
