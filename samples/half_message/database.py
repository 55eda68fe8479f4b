"""The shop's database: a file, whose transactions decide what was ordered."""

import sqlite3
from pathlib import Path

__all__ = ["Database", "SoldOut"]

STOCK = {"lamp": 2, "desk": 0}


class SoldOut(Exception):
    """There is no such article left."""


class Database:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        with self._connection:
            self._connection.executescript(
                """
                CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, article TEXT NOT NULL);
                CREATE TABLE IF NOT EXISTS stock (article TEXT PRIMARY KEY, pieces INTEGER CHECK (pieces >= 0));
                """
            )
            self._connection.executemany("INSERT OR IGNORE INTO stock VALUES (?, ?)", STOCK.items())

    def place(self, id_: str, article: str) -> None:
        """Write an order down and take its article from the stock: both, or neither.

        :raises SoldOut: when there is none left
        """
        try:
            with self._connection:
                self._connection.execute("INSERT INTO orders VALUES (?, ?)", (id_, article))
                self._connection.execute("UPDATE stock SET pieces = pieces - 1 WHERE article = ?", (article,))
        except sqlite3.IntegrityError as error:
            raise SoldOut(article) from error

    def has(self, id_: str) -> bool:
        return self._connection.execute("SELECT 1 FROM orders WHERE id = ?", (id_,)).fetchone() is not None

    def close(self) -> None:
        self._connection.close()
