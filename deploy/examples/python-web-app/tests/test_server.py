import threading
import unittest
from http.client import HTTPConnection, HTTPResponse
from unittest import mock
from urllib.parse import urlencode

from shortener.server import Server
from shortener.store import MemoryStore


class ServerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server(("127.0.0.1", 0), MemoryStore())
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=5)
        self.addCleanup(connection.close)
        connection.request(method, path, urlencode(form or {}))
        response = connection.getresponse()
        return response, response.read().decode()

    def test_a_link_is_shortened_and_leads_back(self) -> None:
        response, body = self.ask("POST", "/", {"url": "https://example.org/a/long/path"})
        self.assertEqual(response.status, 201)
        self.assertIn('href="/0"', body)
        response, _ = self.ask("GET", "/0")
        self.assertEqual((response.status, response.headers["Location"]), (302, "https://example.org/a/long/path"))

    def test_only_web_addresses_are_taken(self) -> None:
        for url in ["", "example.org", "javascript:alert(1)", "ftp://example.org/", "https://a/\r\nX: y"]:
            self.assertEqual(self.ask("POST", "/", {"url": url})[0].status, 400, url)

    def test_what_people_send_is_escaped(self) -> None:
        _, body = self.ask("POST", "/", {"url": "<script>"})
        self.assertNotIn("<script>", body)

    def test_unknown_codes_are_not_found(self) -> None:
        self.assertEqual(self.ask("GET", "/zz")[0].status, 404)
        self.assertEqual(self.ask("GET", "/../etc/passwd")[0].status, 404)

    def test_health(self) -> None:
        response, body = self.ask("GET", "/health")
        self.assertEqual((response.status, body), (200, "ok\n"))

    def test_version_is_the_deployed_commit(self) -> None:
        with mock.patch.dict("os.environ", {"COMMIT": "c0ffee"}):
            self.assertEqual(self.ask("GET", "/version")[1], "c0ffee\n")
