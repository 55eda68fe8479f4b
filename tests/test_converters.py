import math
import subprocess
import sys
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, with_config
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypeAliasType, TypedDict

from msgkit.converter import Compiles, Converter, NamesTypes, charset_of, members
from msgkit.errors import ConfigurationError
from msgkit_bytes import Bytes
from msgkit_json import Json
from msgkit_text import Text

ROOT = Path(__file__).parent.parent
T = TypeVar("T")


Said = TypeAliasType("Said", Annotated[int | str, "said"])


class Colour(StrEnum):
    RED = "red"


class Level(Enum):
    LOW = 1


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    amount: int


@dataclass(frozen=True)
class Order:
    id: UUID
    total: Decimal
    weight: float | None
    lines: tuple[Line, ...]
    placed_at: datetime
    colour: Colour
    note: bytes = b"-"
    by_day: dict[date, int] = field(default_factory=dict[date, int])


@dataclass(frozen=True)
class GiftOrder(Order):
    wish: str = ""


class Model(BaseModel):
    name: str = Field(alias="Name")
    children: list["Model"] = []


class Named(BaseModel):
    model_config = ConfigDict(serialize_by_alias=False, validate_by_name=True)
    name: str = Field(alias="Name")


@pydantic_dataclass
class Checked:
    amount: Annotated[int, Field(gt=0)]


class Dict(TypedDict):
    id: int
    line: Line


class Point(NamedTuple):
    x: int
    y: int


class Box(BaseModel, Generic[T]):
    inside: T


@with_config(ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
@dataclass
class Blob:
    data: bytes


ORDER = Order(
    id=UUID(int=7),
    total=Decimal("12.340"),
    weight=None,
    lines=(Line("a", 1), Line("ü", -(10**30))),
    placed_at=datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC),
    colour=Colour.RED,
    by_day={date(2024, 1, 1): 3},
)

GIFT = GiftOrder(**vars(ORDER), wish="now")

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (Order, ORDER),
    (GiftOrder, GIFT),
    (Model, Model(Name="a", children=[Model(Name="b")])),
    (Checked, Checked(3)),
    (Dict, {"id": 1, "line": Line("a", 1)}),
    (Point, Point(1, 2)),
    (Box[int], Box[int](inside=3)),
    (Blob, Blob(b"\x00\xff")),
    (Line | Checked, Checked(1)),
    (list[Line], [Line("a", 1)]),
    (dict[int, set[str]], {1: {"a"}, -2: set()}),
    (dict[UUID, Decimal], {UUID(int=1): Decimal("0.1")}),
    (Literal["a", 1], "a"),
    (Annotated[int, Field(gt=3)], 4),
    (datetime, datetime(2024, 1, 1, tzinfo=UTC)),
    (timedelta, timedelta(days=-1, microseconds=3)),
    (UUID, UUID(int=3)),
    (Decimal, Decimal("1E-7")),
    (Level, Level.LOW),
    (type(None), None),
    (bool, False),
    (int, 2**80),
    (float, 1e-300),
    (str, "zeichen \N{SNOWMAN} \x00 \U0001f40d"),
    (list, [1, None, "a", {"b": [True]}]),
    (Any, {"a": [1, 2.5, None]}),
    (object, ["x"]),
]


@pytest.mark.parametrize(("into", "payload"), ROUND_TRIPS, ids=lambda value: repr(value)[:60])
def test_what_json_writes_it_reads_back_equal(into: object, payload: object) -> None:
    json = Json()
    body = json.compile_encode(into, "application/json")(payload)
    again = json.compile_decode(into, "application/json")(body)
    assert again == payload
    assert type(again) is type(payload)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (Line("a", 1), b'{"sku":"a","amount":1}'),
        (Model(Name="a"), b'{"Name":"a","children":[]}'),
        ({"model": Model(Name="a")}, b'{"model":{"Name":"a","children":[]}}'),
        (Named.model_validate({"name": "a"}), b'{"name":"a"}'),
        (ORDER.placed_at, b'"2024-02-29T23:59:59.123456Z"'),
        ({1: Decimal("1.50"), "x": [Line("b", 2)]}, b'{"1":"1.50","x":[{"sku":"b","amount":2}]}'),
        ("ü", '"ü"'.encode()),
        (None, b"null"),
    ],
)
def test_json_is_written_as_other_programs_expect_it(payload: object, body: bytes) -> None:
    assert Json().encode(payload) == body


def test_a_subclass_is_written_whole() -> None:
    assert b'"wish":"now"' in Json().encode(GIFT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"sku":"a"}',
        b'{"sku":"a","amount":"many"}',
        b'{"sku":"a","amount":NaN}',
        b"[" * 100_000,
        b'{"sku":"a","amount":1} trailing',
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_json_that_is_not_the_type_is_an_error(body: bytes) -> None:
    with pytest.raises(ValidationError):
        Json().decode(body, Line)


# -- floats that JSON cannot say


@dataclass
class Flat:
    a: float
    b: float | None = None
    c: str | None = None


@dataclass
class Deep:
    flats: list[Flat]
    any: Any = None


class Floating(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: float | None = 1.0


class Spelling(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    a: float
    b: str | None = None


@dataclass
class Starting:
    start: InitVar[float]
    a: float | None = None


class Hiding(BaseModel):
    a: float = Field(exclude=True)
    b: float | None = None


@pytest.mark.parametrize(
    "payload",
    [
        math.nan,
        math.inf,
        [1, -math.inf],
        {"a": {"b": math.nan}},
        Flat(math.nan),
        Flat(1.0, math.inf),
        Deep([Flat(1), Flat(math.nan)]),
        Deep([], any=(math.nan,)),
        Floating(a=math.nan),
        Floating.model_validate({"other": math.nan}),
    ],
    ids=str,
)
def test_a_float_that_json_cannot_say_is_refused_and_not_sent_as_null(payload: object) -> None:
    with pytest.raises(ValueError, match="NaN and infinity are no JSON"):
        Json().encode(payload)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (Flat(1.5), b'{"a":1.5,"b":null,"c":null}'),
        (Deep([Flat(1.5)]), b'{"flats":[{"a":1.5,"b":null,"c":null}],"any":null}'),
        (Floating(a=None), b'{"a":null}'),
        (Spelling(a=math.nan), b'{"a":"NaN","b":null}'),
        (Starting(1.5), b'{"a":null}'),
        (Hiding(a=math.nan), b'{"b":null}'),
        ([None, "null", "nan"], b'[null,"null","nan"]'),
    ],
    ids=str,
)
def test_none_beside_floats_is_null(payload: object, body: bytes) -> None:
    assert Json().encode(payload) == body


# -- names


def test_a_class_goes_by_its_own_name_and_plain_types_by_none() -> None:
    json = Json()
    kinds = [Order, Dict, Level, int, dict, type(None), list[Order], Order | None, Any, object]
    assert [json.name_of(kind) for kind in kinds] == ["Order", "Dict", "Level", *[None] * 7]


def test_a_registered_name_is_written_and_read_and_further_ones_are_read() -> None:
    json = Json(types={"com.acme.Order": Order, "Order.v1": Order}, type_header="__TypeId__")
    assert json.name_of(Order) == "com.acme.Order"
    assert json.kind_of("Order.v1") is Order
    assert json.kind_of("Order") is None
    assert json.name_of(Line) == "Line"
    assert json.type_header == "__TypeId__"


def test_json_is_a_value() -> None:
    types: dict[str, type] = {"order": Order}
    json = Json(types=types, reads=["text/plain"])
    types["line"] = Line
    assert json.kind_of("line") is None
    assert json == Json(types={"order": Order}, reads=["text/plain"])
    assert hash(json) == hash(Json(types={"order": Order}, reads=["text/plain"]))
    assert json != Json()


def test_names_are_given_to_types_only() -> None:
    wrong: Any = {"order": "shop.Order"}
    with pytest.raises(ConfigurationError, match=r"'order' to 'shop\.Order'"):
        Json(types=wrong)


def test_json_reads_what_others_call_otherwise() -> None:
    assert "application/octet-stream" in Json(reads=["Application/Octet-Stream"]).content_types
    assert Json(reads=["text/plain"]).content_types[0] == "application/json"


# -- charsets


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain", "utf-8"),
        ("text/plain; charset=latin-1", "latin-1"),
        ('text/plain; format=flowed; CharSet="UTF-16"', "UTF-16"),
        ("text/plain; charset = ascii ", "ascii"),
        ("text/plain;", "utf-8"),
    ],
)
def test_the_charset_is_read_off_a_content_type(content_type: str, charset: str) -> None:
    assert charset_of(content_type) == charset


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "utf-16", "cp1252"])
def test_text_and_json_keep_to_the_charset_that_the_content_type_names(charset: str) -> None:
    text = f"text/plain; charset={charset}"
    assert Text().compile_encode(str, text)("grün") == "grün".encode(charset)
    assert Text().compile_decode(str, text)("grün".encode(charset)) == "grün"
    json = f"application/json; charset={charset}"
    assert Json().compile_encode(str, json)("grün") == '"grün"'.encode(charset)
    assert Json().compile_decode(str, json)('"grün"'.encode(charset)) == "grün"


def test_json_with_a_byte_order_mark_is_read() -> None:
    read = Json().compile_decode(Line, "application/json")
    assert read(b'\xef\xbb\xbf{"sku":"a","amount":1}') == Line("a", 1)


# -- text and bytes


def test_text_is_str_and_nothing_else() -> None:
    text = Text()
    assert [kind for kind in (str, Colour, int, bytes, Any, object) if text.encodes(kind)] == [str]
    assert text.decode(text.encode("grün"), str) == "grün"
    assert [text.decode(b"a", into) for into in (str, Any, object, Order | str)] == ["a"] * 4
    with pytest.raises(TypeError, match="text is made of str, not int"):
        text.encode(3)
    with pytest.raises(TypeError, match="text is read as str only"):
        text.decode(b"{}", Line)
    with pytest.raises(UnicodeDecodeError):
        text.decode(b"\xff", str)


def test_bytes_are_bytes() -> None:
    octets = Bytes()
    every = bytes(range(256))
    for kind in (bytes, bytearray, memoryview):
        assert octets.encodes(kind)
        body = octets.encode(kind(every))
        assert type(body) is bytes
        assert type(octets.decode(body, kind)) is kind
        assert octets.decode(body, kind) == every
    assert octets.encode(memoryview(every)[::2]) == every[::2]
    assert [octets.decode(b"a", into) for into in (Any, object, Order | bytes)] == [b"a"] * 3
    assert not octets.encodes(str)
    with pytest.raises(TypeError, match="bytes are made of bytes, not int"):
        octets.encode(3)
    with pytest.raises(TypeError, match="bytes are read as bytes only"):
        octets.decode(b"", Line)


# -- the protocols


@pytest.mark.parametrize("converter", [Json(), Text(), Bytes()], ids=repr)
def test_our_converters_are_hashable_values_of_the_protocol(converter: Converter) -> None:
    assert isinstance(converter, Converter)
    assert converter == type(converter)()
    assert hash(converter) == hash(type(converter)())
    assert isinstance(Json(), NamesTypes)
    assert isinstance(Json(), Compiles)


def test_the_members_of_a_union_are_found_however_it_is_spelled() -> None:
    inner = Annotated[int | str, "said"]
    assert members(inner | Line) == (int, str, Line)
    assert members(Said) == (int, str)
    assert members(Line | None) == (Line, type(None))
    assert members(Line) == (Line,)
    assert members(None) == (type(None),)
    assert members(Annotated[int, "said"]) == (Annotated[int, "said"],)


def test_importing_a_converter_imports_no_pydantic() -> None:
    code = (
        "import sys, msgkit_json, msgkit_text, msgkit_bytes, msgkit.conversion\n"
        "msgkit_json.Json(types={'a': int})\n"
        "assert 'pydantic' not in sys.modules, 'pydantic'\n"
        "assert 'importlib.metadata' not in sys.modules, 'importlib.metadata'\n"
    )
    path = [str(ROOT), str(ROOT / "converters")]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{code}"], check=True, timeout=60)
