import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Annotated, Any, Literal, cast
from weakref import WeakSet

import pytest
from annotated_types import Gt
from pydantic import BaseModel
from typing_extensions import TypedDict

from msgkit.conversion import Conversion, Encoder, payload_kind
from msgkit.converter import Converter
from msgkit.envelope import Envelope, Kind
from msgkit.errors import ConfigurationError, ConversionError, PayloadTypeError
from msgkit_bytes import Bytes
from msgkit_json import Json
from msgkit_text import Text

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Placed:
    id: str
    total: int


@dataclass(frozen=True)
class BigPlaced(Placed):
    vat: str = ""


@dataclass(frozen=True)
class Refunded:
    id: str


@dataclass(frozen=True)
class Withdrawn:
    id: str


class Job(BaseModel):
    run: str
    retries: int = 0


class Row(TypedDict):
    sku: str
    amount: int


class Opaque:
    """Nothing that JSON could say."""


class Csv:
    content_types: tuple[str, ...] = ("text/csv",)

    def encodes(self, _kind: object, /) -> bool:
        return False

    def encode(self, payload: object, /) -> bytes:
        return ",".join(map(str, cast("list[object]", payload))).encode()

    def decode(self, body: bytes, _into: object, /) -> list[str]:
        return body.decode().split(",")


LEGACY = Json(types={"com.acme.OrderPlaced": Placed, "com.acme.Refund": Refunded}, type_header="__TypeId__")


@pytest.fixture
def conversion() -> Conversion:
    return Conversion([Csv(), Bytes(), Text(), Json()])


def envelope(
    body: bytes,
    content_type: str | None = None,
    named: str | None = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> Envelope:
    return Envelope(
        body,
        "orders",
        Kind.QUEUE,
        "m-1",
        headers=headers or {},
        content_type=content_type,
        type=named,
    )


def sent(encoder: Encoder, payload: object) -> Envelope:
    """Return the envelope that a template makes of it."""
    headers: dict[str, str] = {}
    if encoder.type_header is not None and encoder.type_name is not None:
        headers[encoder.type_header] = encoder.type_name
    named = None if headers else encoder.type_name
    return envelope(encoder.encode(payload), encoder.content_type, named, headers)


# -- writing


def test_text_and_bytes_travel_as_they_are_and_the_rest_as_json(conversion: Conversion) -> None:
    written = {
        kind: conversion.encoder(kind).content_type
        for kind in (str, bytes, bytearray, memoryview, Placed, Job, dict, int, type(None))
    }
    assert written.pop(str) == "text/plain"
    assert {written.pop(kind) for kind in (bytes, bytearray, memoryview)} == {"application/octet-stream"}
    assert set(written.values()) == {"application/json"}


def test_an_encoder_is_compiled_once_for_a_type_and_a_converter(conversion: Conversion) -> None:
    assert conversion.encoder(Placed) is conversion.encoder(Placed)
    assert conversion.encoder(Placed, LEGACY) is conversion.encoder(Placed, LEGACY)
    assert conversion.encoder(Placed, LEGACY) is not conversion.encoder(Placed)
    assert conversion.decoder(Placed) is conversion.decoder(Placed)


def test_the_name_travels_in_a_header_only_where_the_converter_has_one_of_its_own(
    conversion: Conversion,
) -> None:
    usual = conversion.encoder(Placed)
    assert (usual.type_name, usual.type_header) == ("Placed", None)
    legacy = conversion.encoder(Placed, LEGACY)
    assert (legacy.type_name, legacy.type_header) == ("com.acme.OrderPlaced", "__TypeId__")
    assert conversion.encoder(str).type_name is None
    assert conversion.encoder(list, Csv()).type_name is None
    assert conversion.type_name(Refunded) == "Refunded"
    assert conversion.type_name(Refunded, LEGACY) == "com.acme.Refund"


def test_a_content_type_chooses_the_converter_and_is_what_is_written(
    conversion: Conversion,
) -> None:
    vendor = conversion.encoder(Placed, None, "application/vnd.acme+json; v=2")
    assert vendor.content_type == "application/vnd.acme+json; v=2"
    assert vendor.encode(Placed("1", 2)) == b'{"id":"1","total":2}'
    assert conversion.encoder(list, None, "text/csv").encode([1, 2]) == b"1,2"
    assert conversion.encoder(str, None, "text/html").encode("<p>") == b"<p>"
    assert conversion.encoder(str, None, "text/plain; charset=utf-16").encode("a")[:2] in (
        b"\xff\xfe",
        b"\xfe\xff",
    )
    with pytest.raises(ConversionError, match=r"no converter reads 'application/pdf', only text/csv"):
        conversion.encoder(Placed, None, "application/pdf")


@pytest.mark.parametrize("converter", [None, Json(), Csv()], ids=lambda converter: type(converter).__name__)
def test_bytes_are_never_encoded_twice(conversion: Conversion, converter: Converter | None) -> None:
    encoder = conversion.encoder(bytes, converter, "application/pdf")
    assert encoder.content_type == "application/pdf"
    assert encoder.encode(b"%PDF") == b"%PDF"
    assert conversion.decoder(bytes, converter)(sent(encoder, b"%PDF")) == b"%PDF"


def test_a_converter_that_claims_bytes_has_them_where_it_is_chosen(conversion: Conversion) -> None:
    @dataclass(frozen=True)
    class Reversed(Bytes):
        def encode(self, payload: object, /) -> bytes:
            return super().encode(payload)[::-1]

        def decode(self, body: bytes, into: object, /) -> bytes | bytearray | memoryview:
            return super().decode(body[::-1], into)

    encoder = conversion.encoder(bytes, Reversed())
    assert encoder.encode(b"ab") == b"ba"
    assert conversion.decoder(bytes, Reversed())(sent(encoder, b"ab")) == b"ab"
    assert conversion.decoder(bytes)(sent(encoder, b"ab")) == b"ba"


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (Opaque, Opaque(), "Opaque cannot be written as application/json: PydanticSchemaGenerat"),
        (str, "\ud800", "str cannot be written as text/plain: 'utf-8' codec can't encode"),
        (dict, {"a": Opaque()}, "dict cannot be written as application/json: "),
        (float, float("nan"), "float cannot be written as application/json: NaN and infinity"),
    ],
)
def test_what_cannot_be_written_says_so(conversion: Conversion, kind: type, payload: object, why: str) -> None:
    with pytest.raises(ConversionError, match=why) as caught:
        conversion.encoder(kind).encode(payload)
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_without_a_converter_for_a_type_the_error_says_what_to_do() -> None:
    with pytest.raises(ConversionError, match=r"no converter writes Placed: choose one with conv"):
        Conversion([Bytes(), Text()]).encoder(Placed)


# -- reading


@pytest.mark.parametrize(
    ("content_type", "body", "into", "payload"),
    [
        ("application/json", b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        ("Application/JSON; charset=utf-8", b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        ("application/vnd.acme.v2+json", b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        ("application/json;charset=ISO-8859-1", b'"gr\xfcn"', str, "grün"),
        (None, b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        ("", b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        (" ; charset=utf-8", b'{"id":"1","total":2}', Placed, Placed("1", 2)),
        (None, b"hello", str, "hello"),
        (None, b"\xff", bytearray, bytearray(b"\xff")),
        (None, b'{"a":1}', Any, {"a": 1}),
        ("text/plain", b"hello", Any, "hello"),
        ("text/html", b"<p>", str, "<p>"),
        ("application/octet-stream", b"\xff", object, b"\xff"),
        ("text/csv", b"1,2", Any, ["1", "2"]),
        ("text/csv; header=absent", b"1,2", list, ["1", "2"]),
        ("application/json", b"null", Placed | None, None),
    ],
)
def test_the_content_type_says_how_an_envelope_is_read(
    conversion: Conversion, content_type: str | None, body: bytes, into: object, payload: object
) -> None:
    assert conversion.decoder(into)(envelope(body, content_type)) == payload


@pytest.mark.parametrize("content_type", [None, "application/json", "image/png", "text/plain"])
def test_as_bytes_every_envelope_can_be_read(conversion: Conversion, content_type: str | None) -> None:
    assert conversion.decoder(bytes)(envelope(b"\xff{", content_type)) == b"\xff{"
    assert conversion.decoder(memoryview)(envelope(b"\xff{", content_type)) == b"\xff{"


def test_the_chosen_converter_reads_what_has_no_content_type_and_what_is_its_own(
    conversion: Conversion,
) -> None:
    read = conversion.decoder(list, Csv())
    assert read(envelope(b"1,2")) == ["1", "2"]
    assert read(envelope(b"1,2", "text/csv")) == ["1", "2"]
    assert read(envelope(b"[1, 2]", "application/json")) == [1, 2]
    lenient = Json(reads=["text/plain", "application/octet-stream"])
    for content_type in lenient.content_types[2:]:
        found = conversion.decoder(Placed, lenient)(envelope(b'{"id":"1","total":2}', content_type))
        assert found == Placed("1", 2)


def test_others_may_read_a_content_type_before_us() -> None:
    class Shouting(Csv):
        content_types = ("application/json", "text/*")

        def decode(self, body: bytes, _into: object, /) -> list[str]:
            return [body.decode().upper()]

    conversion = Conversion([Shouting(), Bytes(), Text(), Json()])
    read = conversion.decoder(Any)
    assert read(envelope(b"a", "application/json")) == ["A"]
    assert read(envelope(b"a", "text/html")) == ["A"]
    # named in full by Text, only by a pattern before
    assert read(envelope(b"a", "text/plain")) == "a"


# -- poison


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        (
            "application/json",
            b'{"id":5,"secret":"hunter2"}',
            "cannot be read as Placed: id: Input should be a valid string; total: Field required",
        ),
        ("application/json", b"\xff\xff", "Invalid JSON: expected value at line 1 column 1"),
        ("application/json", b"[" * 9999, "Invalid JSON: recursion limit exceeded"),
        ("application/json; charset=klingon", b"{}", "LookupError: unknown encoding: klingon"),
        ("application/json; charset=ascii-", b"{}", "cannot be read as Placed"),
        ("application/json; charset=utf-16", b"{}{", "codec can't decode"),
        ("text/plain", b"hunter2", "text is read as str only"),
        ("application/octet-stream", b"hunter2", "bytes are read as bytes only"),
        (
            "application/x-java-serialized-object",
            b"\xac\xed",
            "no converter reads 'application/x-java-serialized-object', only text/csv, application",
        ),
        ("///", b"", "no converter reads '///'"),
    ],
)
def test_poison_is_told_with_what_where_and_why_but_not_with_the_payload(
    conversion: Conversion, content_type: str, body: bytes, why: str
) -> None:
    with pytest.raises(ConversionError) as caught:
        conversion.decoder(Placed)(envelope(body, content_type, "OrderPlaced"))
    told = str(caught.value)
    start = f"message m-1 (type 'OrderPlaced', {content_type}, {len(body)} bytes) cannot be read as"
    assert told.startswith(start)
    assert why in told
    assert "hunter2" not in told
    assert "\n" not in told
    assert caught.value.__cause__ is not None


def test_an_error_stays_short_however_long_the_payload_and_its_flaws_are(
    conversion: Conversion,
) -> None:
    class Quoting(Csv):
        def decode(self, body: bytes, _into: object, /) -> list[str]:
            raise KeyError(body.decode())

    with pytest.raises(ConversionError, match="KeyError: 'xxx") as caught:
        conversion.decoder(list, Quoting())(envelope(b"x" * 10_000))
    assert len(str(caught.value)) < 400
    for count, told in (
        (2, "0: Input"),
        (100, "100 flaws, such as 0: Input"),
        (9999, "9999 flaws$"),
    ):
        body = envelope(b"[" + b",".join([b'"x"'] * count) + b"]", "application/json")
        with pytest.raises(ConversionError, match=told) as caught:
            conversion.decoder(list[int])(body)
        assert len(str(caught.value)) < 400


def test_a_type_that_nothing_can_be_read_as_fails_when_the_program_starts(
    conversion: Conversion,
) -> None:
    with pytest.raises(ConfigurationError, match="no message can be read as Opaque: Pydantic"):
        conversion.decoder(Opaque)
    with pytest.raises(ConfigurationError, match="no converter writes Placed"):
        Conversion([Text()]).decoder(Placed)


def test_content_types_without_end_take_no_memory_without_end() -> None:
    readers: WeakSet[Callable[[bytes], Any]] = WeakSet()

    class Counting(Text):
        def compile_decode(self, into: object, content_type: str, /) -> Callable[[bytes], str]:
            read = super().compile_decode(into, content_type)
            readers.add(read)
            return read

    read = Conversion([Counting()]).decoder(str)
    for number in range(500):
        assert read(envelope(b"a", f"text/plain; boundary={number}")) == "a"
    assert len(readers) < 100


# -- names and unions


def test_a_union_is_read_as_the_member_that_the_envelope_names(conversion: Conversion) -> None:
    read = conversion.decoder(Refunded | Withdrawn | Placed)
    for payload in (Withdrawn("1"), Refunded("1"), Placed("1", 2)):
        assert read(sent(conversion.encoder(type(payload)), payload)) == payload


def test_a_union_is_read_as_what_fits_best_where_no_member_is_named(
    conversion: Conversion,
) -> None:
    read = conversion.decoder(Refunded | Placed | str | None)
    json = "application/json"
    assert read(envelope(b'{"id":"1","total":2}', json)) == Placed("1", 2)
    assert read(envelope(b'{"id":"1","total":2}', json, "shop.Unknown")) == Placed("1", 2)
    assert read(envelope(b'{"id":"1"}', json)) == Refunded("1")
    assert read(envelope(b"null", json)) is None
    assert read(envelope(b"hello", "text/plain")) == "hello"


def test_what_is_named_and_does_not_fit_is_poison_and_not_another_member(
    conversion: Conversion,
) -> None:
    with pytest.raises(ConversionError, match="cannot be read as Placed: total: Field required"):
        conversion.decoder(Refunded | Placed)(envelope(b'{"id":"1"}', None, "Placed"))


def test_the_declared_type_wins_over_a_name_where_there_is_no_choice(
    conversion: Conversion,
) -> None:
    body = envelope(b'{"id":"1"}', "application/json", "os.system")
    assert conversion.decoder(Refunded)(body) == Refunded("1")


@pytest.mark.parametrize("value", ["com.acme.Refund", b"com.acme.Refund"], ids=repr)
def test_a_foreign_producers_type_header_names_the_member(conversion: Conversion, value: str | bytes) -> None:
    body = envelope(b'{"id":"1"}', "application/json", headers={"__TypeId__": value})
    assert conversion.decoder(Withdrawn | Refunded, LEGACY)(body) == Refunded("1")
    assert conversion.decoder(Withdrawn | Refunded)(body) == Withdrawn("1")


def test_what_a_converter_with_its_own_header_sends_it_reads(conversion: Conversion) -> None:
    read = conversion.decoder(Withdrawn | Refunded, LEGACY)
    for payload in (Refunded("1"), Withdrawn("1")):
        assert read(sent(conversion.encoder(type(payload), LEGACY), payload)) == payload


def test_a_further_registered_name_is_read_too(conversion: Conversion) -> None:
    renamed = Json(types={"order.refunded": Refunded, "refund": Refunded})
    read = conversion.decoder(Withdrawn | Refunded, renamed)
    for name in ("refund", "order.refunded"):
        assert read(envelope(b'{"id":"1"}', None, name)) == Refunded("1")


def test_a_subclass_is_read_as_the_member_that_it_derives_from(conversion: Conversion) -> None:
    encoder = conversion.encoder(BigPlaced)
    assert encoder.type_name == "BigPlaced"
    body = sent(encoder, BigPlaced("1", 2, "x"))
    assert b'"vat":"x"' in body.body
    assert conversion.decoder(Placed | Refunded)(body) == Placed("1", 2)
    assert conversion.decoder(Placed | BigPlaced)(body) == BigPlaced("1", 2, "x")


def test_two_types_of_one_name_are_refused_where_they_meet(conversion: Conversion) -> None:
    def another() -> type:
        @dataclass
        class Placed:
            other: int

        return Placed

    other: Any = another()
    assert conversion.encoder(other).type_name == conversion.encoder(Placed).type_name
    both: Any = Placed | other
    with pytest.raises(ConfigurationError, match=r"Placed and .*another.*Placed are both 'Placed'"):
        conversion.decoder(both)
    with pytest.raises(ConfigurationError, match="give one another name"):
        conversion.chooser([Placed, other])
    apart = Json(types={"other": other})
    assert conversion.decoder(both, apart)(envelope(b'{"other":1}', None, "other")) == other(1)


# -- dispatch by payload type


@pytest.fixture
def choose(conversion: Conversion) -> Callable[[Envelope], int]:
    return conversion.chooser([Withdrawn | Refunded, Placed, str])


def test_an_envelope_is_for_the_type_that_it_names(choose: Callable[[Envelope], int]) -> None:
    named = ["Refunded", "Withdrawn", "Placed", "BigPlaced"]
    assert [choose(envelope(b"", None, name)) for name in named] == [0, 0, 1, 1]


def test_an_envelope_without_a_name_is_for_what_its_body_fits(
    choose: Callable[[Envelope], int],
) -> None:
    json = "application/json"
    assert choose(envelope(b'{"id":"1","total":2}', json)) == 1
    assert choose(envelope(b'{"id":"1"}', json)) == 0
    assert choose(envelope(b"hello", "text/plain")) == 2
    with pytest.raises(ConversionError, match="message m-1"):
        choose(envelope(b"[]", json))


def test_an_envelope_of_an_unknown_type_is_poison(conversion: Conversion) -> None:
    choose = conversion.chooser([Refunded, Placed])
    with pytest.raises(ConversionError, match="cannot be read as Refunded or Placed: it is of ano"):
        choose(envelope(b'{"id":"1"}', "application/json", "OrderShipped"))


@pytest.mark.parametrize("anything", [object, Any, bytes])
def test_what_is_left_goes_to_whoever_takes_anything(conversion: Conversion, anything: object) -> None:
    choose = conversion.chooser([anything, Refunded, Placed])
    assert choose(envelope(b'{"id":"1"}', "application/json", "OrderShipped")) == 0
    assert choose(envelope(b"\x00", "image/png")) == 0
    assert choose(envelope(b'{"id":"1"}', "application/json")) == 1


def test_types_without_a_name_are_told_apart_by_the_body(conversion: Conversion) -> None:
    choose = conversion.chooser([float, int, bool, list[str], list[int], Row])
    bodies = [b"1.5", b"1", b"true", b'["a"]', b"[1]", b'{"sku":"a","amount":1}']
    assert [choose(envelope(body)) for body in bodies] == [0, 1, 2, 3, 4, 5]


# -- what a destination carries


@pytest.mark.parametrize(
    ("payload", "kinds", "kind"),
    [
        (Placed("1", 2), (Placed,), Placed),
        (Placed("1", 2), (Refunded, Placed), Placed),
        (BigPlaced("1", 2), (Refunded, Placed), BigPlaced),
        (Placed("1", 2), (Placed | None,), Placed),
        (None, (Placed | None,), type(None)),
        (None, (None,), type(None)),
        (3, (float,), int),
        (True, (int,), bool),
        (Opaque(), (), Opaque),
        ("x", (object,), str),
        ("x", (Any,), str),
        ({"sku": "a", "amount": 1}, (Row,), Row),
        ({"sku": "a", "amount": 1}, (Placed, Row), Row),
        ([1, 2], (list[int],), list[int]),
        ([Placed("1", 2)], (list[Placed | Refunded],), list[Placed | Refunded]),
        ("a", (Literal["a", "b"],), Literal["a", "b"]),
        (4, (Annotated[int, Gt(3)],), Annotated[int, Gt(3)]),
        (4, (Annotated[int, ["no", "hash"]],), Annotated[int, ["no", "hash"]]),
    ],
)
def test_a_payload_is_encoded_as_its_class_or_as_the_annotation_that_it_satisfies(
    payload: object, kinds: tuple[Any, ...], kind: object
) -> None:
    assert payload_kind(payload, kinds, "orders") == kind


@pytest.mark.parametrize(
    ("payload", "kinds", "told"),
    [
        (Refunded("1"), (Placed,), "'orders' carries Placed, not Refunded"),
        ({"id": "1"}, (Placed, Refunded), "'orders' carries Placed or Refunded, not dict"),
        (Placed, (Placed,), "'orders' carries Placed, not type"),
        (None, (Placed,), "'orders' carries Placed, not NoneType"),
        (1.5, (int,), "'orders' carries int, not float"),
        (b"x", (str,), "'orders' carries str, not bytes"),
        ("1", (int | None,), "'orders' carries int or NoneType, not str"),
        ({"sku": "a"}, (Row,), "'orders' carries Row, not dict"),
        ({"sku": "a", "amount": "1"}, (Row,), "'orders' carries Row, not dict"),
        (["1"], (list[int],), r"'orders' carries list\[int\], not list"),
        ("c", (Literal["a", "b"],), r"'orders' carries Literal\['a', 'b'\], not str"),
        (3, (Annotated[int, Gt(3)],), "'orders' carries Annotated.*, not int"),
    ],
)
def test_a_payload_that_a_destination_does_not_carry_is_refused(
    payload: object, kinds: tuple[Any, ...], told: str
) -> None:
    with pytest.raises(PayloadTypeError, match=f"^{told}$"):
        payload_kind(payload, kinds, "orders")


def test_two_classes_of_one_name_are_told_apart_in_the_error() -> None:
    namesake = type("Placed", (), {"__module__": "old.shop"})
    with pytest.raises(PayloadTypeError, match=r"carries Placed, not another Placed, of old\.shop"):
        payload_kind(namesake(), (Placed,), "orders")


def test_an_annotation_that_cannot_be_checked_is_a_mistake_in_the_program() -> None:
    with pytest.raises(ConfigurationError, match="cannot be the type of a payload: Pydantic"):
        payload_kind([], (list[Opaque],), "orders")


def test_a_typed_dict_travels_under_its_name_and_is_dispatched_by_it(
    conversion: Conversion,
) -> None:
    row = {"sku": "a", "amount": 1}
    encoder = conversion.encoder(payload_kind(row, (Row,), "rows"))
    assert encoder.type_name == "Row"
    assert conversion.decoder(Row | Placed)(sent(encoder, row)) == row
    assert conversion.chooser([Placed, Row])(sent(encoder, row)) == 1


def test_an_annotation_without_a_hash_is_written_and_read(conversion: Conversion) -> None:
    kind = Annotated[int, ["no", "hash"]]
    assert conversion.decoder(kind)(sent(conversion.encoder(kind), 4)) == 4


# -- many threads


def test_one_conversion_serves_many_threads_from_their_first_message_on() -> None:
    conversion = Conversion([Bytes(), Text(), Json()])
    payloads: list[Any] = [Placed("1", 2), Refunded("1"), Job(run="x"), "text", b"\xff", {"a": 1}]
    start = Barrier(8)

    def there_and_back(payload: object) -> object:
        kind = payload_kind(payload, (), "any")
        return conversion.decoder(kind)(sent(conversion.encoder(kind), payload))

    def work(_: int) -> bool:
        start.wait(timeout=30)
        return all(there_and_back(payload) == payload for _ in range(50) for payload in payloads)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


# -- what is installed


@pytest.fixture
def site(tmp_path: Path) -> Path:
    ours = tmp_path / "msgkit_messaging-0.dist-info"
    ours.mkdir()
    (ours / "METADATA").write_text("Metadata-Version: 2.1\nName: msgkit-messaging\nVersion: 0\n")
    (ours / "entry_points.txt").write_text(
        "[msgkit.converters]\nbytes = msgkit_bytes:Bytes\njson = msgkit_json:Json\ntext = msgkit_text:Text\n"
    )
    theirs = tmp_path / "zcsv-0.dist-info"
    theirs.mkdir()
    (theirs / "METADATA").write_text("Metadata-Version: 2.1\nName: zcsv\nVersion: 0\n")
    (theirs / "entry_points.txt").write_text("[msgkit.converters]\nzcsv = zcsv:Csv\n")
    return tmp_path


def run(site: Path, program: str) -> subprocess.CompletedProcess[str]:
    path = [str(site), str(ROOT), str(ROOT / "converters")]
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{program}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PROGRAM = """
from msgkit.conversion import Conversion
from msgkit.envelope import Envelope, Kind
conversion = Conversion.installed()
assert conversion is Conversion.installed()
assert [conversion.encoder(kind).content_type for kind in (str, bytes, dict, list)] == [
    "text/plain", "application/octet-stream", "application/json", "text/csv"]
for content_type in (None, "text/csv", "text/plain"):
    envelope = Envelope(b"1,2", "d", Kind.QUEUE, "m", content_type=content_type)
    assert conversion.decoder(list)(envelope) == ["1", "2"]
"""


def test_a_converter_of_twelve_lines_is_found_once_it_is_installed(site: Path) -> None:
    converter = (
        "class Csv:\n"
        '    content_types = ("text/csv", "text/plain")\n'
        "\n"
        "    def encodes(self, kind):\n"
        "        return kind is list\n"
        "\n"
        "    def encode(self, payload):\n"
        '        return ",".join(map(str, payload)).encode()\n'
        "\n"
        "    def decode(self, body, into):\n"
        '        return body.decode().split(",")\n'
    )
    (site / "zcsv.py").write_text(converter)
    assert len(converter.splitlines()) <= 12
    done = run(site, PROGRAM)
    assert done.returncode == 0, done.stderr


def test_a_converter_that_cannot_be_loaded_is_named(site: Path) -> None:
    (site / "zcsv.py").write_text("import no_such_library\n")
    done = run(site, PROGRAM)
    expected = "the converter 'zcsv' (zcsv:Csv) cannot be loaded: No module named 'no_such_library'"
    assert expected in done.stderr
