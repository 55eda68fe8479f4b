import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt, new_id

FORKS = """
import os
from msgkit.envelope import new_id

def ids(): return [new_id() for _ in range(500)]

pipes = []
before = ids()
for _ in range(4):
    reading, writing = os.pipe()
    if os.fork() == 0:
        grandchild = os.fork()
        os.write(writing, (" ".join(ids()) + " ").encode())
        if grandchild:
            os.waitpid(grandchild, 0)
        os._exit(0)
    os.close(writing)
    pipes.append(reading)
every = before + ids()
for reading in pipes:
    with open(reading) as file:
        every += file.read().split()
print(len(every), len(set(every)))
"""


def envelope() -> Envelope:
    return Envelope(body=b"", destination="jobs", kind=Kind.QUEUE, message_id="m", headers={"a": 1, "b": 2})


def test_ids_are_32_hexadecimal_digits() -> None:
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in (new_id() for _ in range(1000)))


def test_ids_of_one_process_sort_as_they_were_made() -> None:
    ids = [new_id() for _ in range(100_000)]
    assert ids == sorted(ids)


def test_ids_made_in_many_threads_at_once_are_unique() -> None:
    threads, each = 8, 20_000
    gate = threading.Barrier(threads)

    def make(_: int) -> list[str]:
        gate.wait()
        return [new_id() for _ in range(each)]

    with ThreadPoolExecutor(threads) as pool:
        made: Iterable[list[str]] = pool.map(make, range(threads))
        assert len({one for ids in made for one in ids}) == threads * each


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_ids_made_by_forked_processes_are_unique() -> None:
    output = subprocess.run([sys.executable, "-c", FORKS], check=True, capture_output=True, text=True).stdout
    assert output.split() == ["5000", "5000"]


def test_an_envelope_does_not_change() -> None:
    one = envelope()
    with pytest.raises(AttributeError):
        one.key = "k"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] -- what is tried is wrong
    with pytest.raises(TypeError):
        NO_HEADERS["a"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue] -- as above


def test_more_headers_are_had_on_a_copy() -> None:
    one = envelope()
    assert one.with_headers({"b": 3, "c": 4}).headers == {"a": 1, "b": 3, "c": 4}
    assert one.headers == {"a": 1, "b": 2}


def test_a_receipt_is_a_value() -> None:
    assert Receipt("m", "jobs") == Receipt("m", "jobs", "default", None)
