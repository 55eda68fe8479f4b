"""`str` to text and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgkit.converter import charset_of, members

__all__ = ["Text"]


@dataclass(frozen=True, slots=True)
class Text:
    """Writes `text/plain` and reads any text, as nothing but `str`."""

    @property
    def content_types(self) -> tuple[str, ...]:
        return ("text/plain", "text/*")

    def encodes(self, kind: object, /) -> bool:
        return kind is str

    def encode(self, payload: object, /) -> bytes:
        return self.compile_encode(str, "text/plain")(payload)

    def decode(self, body: bytes, into: object, /) -> str:
        return self.compile_decode(into, "text/plain")(body)

    def compile_encode(self, kind: object, content_type: str, /) -> Callable[[Any], bytes]:  # noqa: ARG002 -- the payload itself is looked at
        charset = charset_of(content_type)

        def encode(payload: object) -> bytes:
            if not isinstance(payload, str):
                msg = f"text is made of str, not {type(payload).__name__}"
                raise TypeError(msg)
            return payload.encode(charset)

        return encode

    def compile_decode(self, into: object, content_type: str, /) -> Callable[[bytes], str]:
        if not {str, object, Any}.intersection(members(into)):
            msg = "text is read as str only"
            raise TypeError(msg)
        charset = charset_of(content_type)
        return lambda body: str(body, charset)
