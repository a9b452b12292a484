"""A real service, and a real page on another origin."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import uvicorn

from bot.api.app import create_app
from bot.engine import build_index, open_bot
from bot.settings import Settings, load_settings

#: The shipped documents.
CORPUS = Path(__file__).parents[2] / "corpus"


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of a real service, on a free port of the loopback interface."""
    build_index(settings)
    app = create_app(lambda: open_bot(settings), settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Site:
    """Somebody's web site: pages by path, each with the headers that it is sent with."""

    origin: str
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def put(self, path: str, html: str, headers: dict[str, str] | None = None) -> str:
        """Publish a page and return its address."""
        self.pages[path] = (html, headers or {})
        return self.origin + path


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A web site on an origin of its own, on which the widget is put."""
    found = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            html, headers = found.pages.get(self.path.split("?")[0], ("", {}))
            body = html.encode()
            self.send_response(200 if body else 404)
            for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.origin = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[str]:
    """The address of a service of the shipped documents that the site may use, and that counts what helped."""
    home = tmp_path_factory.mktemp("service")
    settings = load_settings(corpus=CORPUS, index=home / "index", origins=(site.origin,), feedback=True)
    with served(settings) as address:
        yield address
