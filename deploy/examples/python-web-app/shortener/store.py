"""Where links are kept. Both stores behave alike; the tests run against each."""

import sqlite3
import threading
from typing import Optional, Protocol


class Store(Protocol):
    def add(self, url: str) -> int:
        """Keeps the address and returns its number; the same address has one number."""

    def get(self, number: int) -> Optional[str]:
        """The address with this number, or None."""

    def count(self) -> int: ...


class MemoryStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urls: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, url: str) -> int:
        with self._lock:
            if url not in self._numbers:
                self._numbers[url] = len(self._urls)
                self._urls.append(url)
            return self._numbers[url]

    def get(self, number: int) -> Optional[str]:
        with self._lock:
            return self._urls[number] if 0 <= number < len(self._urls) else None

    def count(self) -> int:
        with self._lock:
            return len(self._urls)


class SqliteStore:
    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        with self._lock, self._db:
            self._db.execute("CREATE TABLE IF NOT EXISTS links (number INTEGER PRIMARY KEY, url TEXT UNIQUE NOT NULL)")

    def add(self, url: str) -> int:
        with self._lock, self._db:
            row = self._db.execute("SELECT number FROM links WHERE url = ?", (url,)).fetchone()
            if row is None:
                number = self._db.execute("SELECT COALESCE(MAX(number) + 1, 0) FROM links").fetchone()[0]
                self._db.execute("INSERT INTO links (number, url) VALUES (?, ?)", (number, url))
                return number
            return row[0]

    def get(self, number: int) -> Optional[str]:
        with self._lock:
            row = self._db.execute("SELECT url FROM links WHERE number = ?", (number,)).fetchone()
            return None if row is None else row[0]

    def count(self) -> int:
        with self._lock:
            return self._db.execute("SELECT COUNT(*) FROM links").fetchone()[0]


def open_store(name: str) -> Store:
    """`memory`, or `sqlite:PATH`."""
    if name == "memory":
        return MemoryStore()
    kind, _, path = name.partition(":")
    if kind == "sqlite" and path:
        return SqliteStore(path)
    raise ValueError(f"unknown store {name!r}: expected memory or sqlite:PATH")
