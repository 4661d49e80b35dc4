import os
import tempfile
import threading
import unittest

from shortener.store import open_store


class StoreTest(unittest.TestCase):
    """Runs against the store that the variable STORE names: the pipeline's matrix sets it."""

    def setUp(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        kind = os.environ.get("STORE", "memory")
        self.store = open_store(kind if kind == "memory" else f"{kind}:{self._directory.name}/links.db")

    def test_numbers_count_from_zero(self) -> None:
        self.assertEqual(self.store.add("https://a.example/"), 0)
        self.assertEqual(self.store.add("https://b.example/"), 1)
        self.assertEqual(self.store.count(), 2)

    def test_the_same_address_has_one_number(self) -> None:
        first = self.store.add("https://a.example/")
        self.assertEqual(self.store.add("https://a.example/"), first)
        self.assertEqual(self.store.count(), 1)

    def test_what_was_added_is_found(self) -> None:
        number = self.store.add("https://a.example/?q=ü&x='\"")
        self.assertEqual(self.store.get(number), "https://a.example/?q=ü&x='\"")

    def test_what_is_not_there_is_none(self) -> None:
        self.assertIsNone(self.store.get(0))
        self.assertIsNone(self.store.get(-1))

    def test_many_at_once_get_different_numbers(self) -> None:
        numbers: list[int] = []
        threads = [
            threading.Thread(target=lambda n=n: numbers.append(self.store.add(f"https://{n}.example/")))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(numbers), list(range(20)))


class StoreNames(unittest.TestCase):
    def test_an_unknown_store_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "unknown store 'redis'"):
            open_store("redis")
