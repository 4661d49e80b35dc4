"""The web application: POST / with url=…, GET /CODE redirects, GET /health and /version for whoever watches."""

import html
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from . import __version__, codes
from .store import Store

MAX_BODY = 4096

PAGE = """<!doctype html>
<title>Shortener</title>
<h1>Shorten a link</h1>
<form method="post"><input name="url" type="url" size="60" placeholder="https://example.org/a/long/path" required>
<button>Shorten</button></form>
<p>{message}</p>
"""


def is_address(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and "\n" not in url and "\r" not in url


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    server_version = f"shortener/{__version__}"

    def do_GET(self) -> None:
        if self.path == "/":
            self._page(HTTPStatus.OK, f"{self.server.store.count()} links so far.")
        elif self.path == "/health":
            self._text(HTTPStatus.OK, "ok\n")
        elif self.path == "/version":
            # Whoever deploys it says which commit it is.
            self._text(HTTPStatus.OK, os.environ.get("COMMIT", __version__) + "\n")
        else:
            self._redirect(self.path[1:])

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY:
            self._page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long.")
            return
        url = parse_qs(self.rfile.read(length).decode("utf-8", "replace")).get("url", [""])[0]
        if not is_address(url):
            self._page(HTTPStatus.BAD_REQUEST, f"{html.escape(url)} is not an http or https address.")
            return
        code = codes.encode(self.server.store.add(url))
        self._page(HTTPStatus.CREATED, f'<a href="/{code}">/{code}</a> leads to {html.escape(url)}')

    def _redirect(self, code: str) -> None:
        try:
            url = self.server.store.get(codes.decode(code))
        except ValueError:
            url = None
        if url is None:
            self._page(HTTPStatus.NOT_FOUND, "There is no such link.")
            return
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _page(self, status: HTTPStatus, message: str) -> None:
        self._send(status, PAGE.format(message=message), "text/html; charset=utf-8")

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text, "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        if self.server.verbose:
            super().log_message(format, *args)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], store: Store, verbose: bool = False) -> None:
        super().__init__(address, Handler)
        self.store = store
        self.verbose = verbose
