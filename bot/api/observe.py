"""What an operator sees of the traffic: one log line and a few counters for each request, never a question's words."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Sequence
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.api.schemas import Problem
from bot.widget.pages import error_page
from bot.widget.words import chosen_language

_log = logging.getLogger("signpost")

#: Everything a page may load comes from this service, text never becomes markup, and only named sites may frame it.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors {}"
)


def _headers(framed_by: Sequence[str]) -> tuple[tuple[bytes, bytes], ...]:
    """What every reply carries, unless its route says otherwise."""
    sites = " ".join(site for site in framed_by if site != "null")
    return (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", _PAGE_POLICY.format(sites or "'none'").encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
    )


class Metrics:
    """Counters of one app. Labels have few values, all of them known beforehand."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shown = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # what all workers have counted
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        self.requests = Counter(
            "signpost_http_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram("signpost_http_seconds", "Time to answer a request", ["route"], registry=self.registry)
        self.answers = Counter("signpost_answers", "Answers by status", ["status"], registry=self.registry)
        self.cached = Counter("signpost_cached_answers", "Answers that were kept from before", registry=self.registry)
        self.feedback = Counter(
            "signpost_feedback",
            "Whether answers helped, by their status",
            ["status", "helpful"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Return what was counted, in the Prometheus text format."""
        return generate_latest(self._shown)


class Observe:
    """The outermost layer: gives each request an id and each reply its headers, counts and logs.

    Who is sent away for coming too often, or with too many, is counted only: a flood must not fill the log, nor make
    the others wait for it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, framed_by: Sequence[str] = ()) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = _headers(framed_by)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{random.getrandbits(64):016x}"  # a name, no secret
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._headers if name not in present]
                if b"cache-control" not in present:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            crash = scope["state"].get("crash", "")
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            sent_away = scope["state"].get("sent_away", False)
            level = logging.ERROR if crash else logging.DEBUG if sent_away else logging.INFO
            _log.log(
                level, "request=%s %s %s status=%d ms=%.1f%s", request_id, method, route, status, seconds * 1e3, crash
            )


class Crash:
    """Turns a crash, whatever it is, into a plain 500 for the person and a trace for the operator."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            scope["state"]["crash"] = f" error={type(error).__name__}{_place_of(error)}"
            if not started:
                reply = explain(scope, 500, "InternalError", "something went wrong here; try again later")
                await reply(scope, receive, send)


def _place_of(error: BaseException) -> str:
    """File and line where an error began. Its message stays out of the log: it may hold a question."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def explain(scope: Scope, status: int, error: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error: to programs in the one shape that all of them have, to a browser that wants a page as one."""
    request_id: str = scope["state"]["request_id"]
    accepted = Headers(scope=scope).get("accept", "")
    if "text/html" in accepted and not scope["path"].startswith("/v1/"):
        name: str = scope["app"].state.settings.name
        language = chosen_language(Headers(scope=scope).get("accept-language", ""))
        page = error_page(name, language, status, detail, request_id)
        return HTMLResponse(page, status_code=status, headers=headers)
    body = Problem(error=error, detail=detail[:1_000] or HTTPStatus(status).phrase, request_id=request_id)
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)
