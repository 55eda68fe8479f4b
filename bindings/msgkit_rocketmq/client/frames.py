"""A frame: what is asked or answered, with a header of named texts and a body of bytes."""

import json
from collections.abc import Container, Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 -- it is a class
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import Refused, Unreadable

__all__ = ["SIZE", "Frame", "Value", "checked", "decode", "encode", "written"]

#: In what is asked; the header itself holds nothing but text.
Value = str | int | bool

#: How long the rest of a frame is.
SIZE = Struct(">i")
_HEAD = Struct(">ii")
_MARK = Struct(">I")
_SERIALIZER_SHIFT, _LENGTH = 24, 0xFF_FFFF
_JSON, _BINARY = 0, 1
#: Code, language, version, opaque, flag, and the length of the remark.
_BINARY_HEAD = Struct(">hBhiii")
_NAME, _TEXT = Struct(">h"), Struct(">i")
_RESPONSE, _ONEWAY = 1, 2
#: Of those that RocketMQ has numbers for, as far as anybody looks at them.
_LANGUAGES = ("JAVA", "CPP", "DOTNET", "PYTHON")
#: RocketMQ 5.3.3. Name servers write JSON that is some only for those who are newer than 4.9.
_VERSION = 479
_NOTHING: Mapping[str, str] = MappingProxyType({})
_written = json.JSONEncoder(separators=(",", ":")).encode


class Frame(NamedTuple):
    #: A `Request`, or in an answer a `Response`; any other number, too.
    code: int
    fields: Mapping[str, str] = _NOTHING
    body: bytes = b""
    #: What an answer is known by.
    opaque: int = 0
    is_response: bool = False
    #: Does nobody wait for an answer?
    is_oneway: bool = False
    #: In an answer, why.
    remark: str = ""
    language: str = "PYTHON"
    version: int = _VERSION


def written(fields: Mapping[str, Value]) -> dict[str, str]:
    """Return fields as Java writes them."""
    return {name: value if isinstance(value, str) else _text(value) for name, value in fields.items()}


def _text(value: int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def encode(frame: Frame) -> bytes:
    """Return the frame with a header in JSON.

    The binary one has no room for the numbers of requests that came with RocketMQ 5.
    """
    flag = _RESPONSE * frame.is_response | _ONEWAY * frame.is_oneway
    head: dict[str, Any] = {
        "code": frame.code,
        "language": frame.language,
        "version": frame.version,
        "opaque": frame.opaque,
        "flag": flag,
    }
    if frame.fields:
        head["extFields"] = dict(frame.fields)
    if frame.remark:
        head["remark"] = frame.remark
    header = _written(head).encode()
    return b"".join((_HEAD.pack(4 + len(header) + len(frame.body), len(header)), header, frame.body))


def decode(data: bytes) -> Frame:
    """Return the frame that these bytes are, without the size that stands before it.

    :raises Unreadable: when they are none
    """
    if len(data) < _MARK.size:
        raise Unreadable("a frame is too short to have a header")
    (mark,) = _MARK.unpack_from(data)
    end = _MARK.size + (mark & _LENGTH)
    if end > len(data):
        raise Unreadable("a header is longer than its frame")
    header, body = data[_MARK.size : end], data[end:]
    serializer = mark >> _SERIALIZER_SHIFT
    if serializer == _JSON:
        return _from_json(header, body)
    if serializer == _BINARY:
        return _from_binary(header, body)
    raise Unreadable(f"a header is written in a way that nobody knows: {serializer}")


def checked(answer: Frame, accepts: Container[int] = ()) -> Frame:
    """Return an answer that is none of a failure.

    :param accepts: those that are none, beside `SUCCESS`
    :raises Refused: when it is one
    """
    if answer.code != Response.SUCCESS and answer.code not in accepts:
        raise Refused(Response(answer.code), answer.remark)
    return answer


def _from_json(header: bytes, body: bytes) -> Frame:
    try:
        head: object = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise Unreadable("a header is no JSON") from error
    if not isinstance(head, dict):
        raise Unreadable("a header is no object")
    said = cast("dict[str, object]", head)
    flag = _number(said, "flag")
    return Frame(
        code=_number(said, "code"),
        fields=_texts(said.get("extFields")),
        body=body,
        opaque=_number(said, "opaque"),
        is_response=bool(flag & _RESPONSE),
        is_oneway=bool(flag & _ONEWAY),
        remark=str(said.get("remark") or ""),
        language=str(said.get("language") or ""),
        version=_number(said, "version"),
    )


def _number(said: Mapping[str, object], name: str) -> int:
    value = said.get(name, 0)
    if not isinstance(value, int):
        raise Unreadable(f"a header's {name} is no number")
    return value


def _texts(said: object) -> dict[str, str]:
    if not isinstance(said, dict | None):
        raise Unreadable("the fields of a header are no object")
    there = {name: value for name, value in cast("dict[str, object]", said or {}).items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in there.items()}


def _from_binary(header: bytes, body: bytes) -> Frame:
    try:
        code, language, version, opaque, flag, size = _BINARY_HEAD.unpack_from(header)
        remark, at = _cut(header, _BINARY_HEAD.size, size)
        fields = _pairs(header, at)
    except (StructError, ValueError) as error:
        raise Unreadable("a binary header is cut off, or no text") from error
    return Frame(
        code=code,
        fields=fields,
        body=body,
        opaque=opaque,
        is_response=bool(flag & _RESPONSE),
        is_oneway=bool(flag & _ONEWAY),
        remark=remark,
        language=_LANGUAGES[language] if language < len(_LANGUAGES) else str(language),
        version=version,
    )


def _pairs(header: bytes, at: int) -> dict[str, str]:
    (size,) = _TEXT.unpack_from(header, at)
    at += _TEXT.size
    fields: dict[str, str] = {}
    end = at + size
    while at < end:
        (length,) = _NAME.unpack_from(header, at)
        name, at = _cut(header, at + _NAME.size, length)
        (length,) = _TEXT.unpack_from(header, at)
        fields[name], at = _cut(header, at + _TEXT.size, length)
    return fields


def _cut(header: bytes, at: int, size: int) -> tuple[str, int]:
    """Return the text that stands there, and where it ends."""
    end = at + size
    if not at <= end <= len(header):
        raise ValueError(size)
    return header[at:end].decode(), end
