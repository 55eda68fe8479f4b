"""What can be asked of a broker: a number, one version of it, and how question and answer are written."""

from dataclasses import dataclass
from struct import Struct
from typing import Any, Generic, TypeVar

from msgkit_kafka.wire.fields import NULLABLE_STRING, Field, Reader

__all__ = ["Api"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])
_SIZE = Struct(">i")
_HEAD = Struct(">hhi")


@dataclass(frozen=True, slots=True, eq=False)
class Api(Generic[Q, A]):
    """One version, which every broker that is served here knows."""

    name: str
    key: int
    version: int
    question: Field[Q]
    answer: Field[A]
    #: Is it of the newer kind, that may be added to?
    flexible: bool = False

    def encode(self, number: int, client: str, question: Q) -> bytearray:
        """Return a question as it is sent, with its length before it."""
        out = bytearray(_SIZE.size)
        out += _HEAD.pack(self.key, self.version, number)
        NULLABLE_STRING.write(out, client)
        if self.flexible:
            out.append(0)
        self.question.write(out, question)
        _SIZE.pack_into(out, 0, len(out) - _SIZE.size)
        return out

    def decode(self, reader: Reader) -> A:
        """Read an answer, behind its number.

        :raises Garbled: when it is none
        """
        if self.flexible:
            reader.skip_tags()
        return self.answer.read(reader)
