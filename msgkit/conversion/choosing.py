"""Which of several payload types an envelope is for."""

from collections.abc import Callable, Sequence
from typing import Any, Union, cast

from msgkit.conversion.converters import Converters
from msgkit.conversion.decoding import Decode, compile_decoder
from msgkit.conversion.naming import Names, name_of
from msgkit.conversion.payloads import ANYTHING, matcher
from msgkit.conversion.wording import unreadable
from msgkit.converter import Converter, members
from msgkit.envelope import Envelope
from msgkit.errors import ConversionError

__all__ = ["Choose", "compile_chooser"]

Choose = Callable[[Envelope], int]

# What is no union, with the index of the payload type that it is or belongs to.
_Leaves = Sequence[tuple[Any, int]]


def compile_chooser(converters: Converters, kinds: Sequence[Any], chosen: Converter | None) -> Choose:
    leaves = [(leaf, index) for index, kind in enumerate(kinds) for leaf in members(kind)]
    namer = converters.for_type(object, chosen)
    names = Names([leaf for leaf, _ in leaves], namer)
    nameless = [each for each in leaves if name_of(each[0], namer) is None]
    for_unnamed = _by_body(converters, leaves, kinds, chosen)
    for_unknown = _by_body(converters, nameless, kinds, chosen)

    def choose(envelope: Envelope) -> int:
        name = names.read(envelope)
        if name is None:
            return for_unnamed(envelope)
        kind = names.find(name)
        if kind is None:
            return for_unknown(envelope)
        return next(index for leaf, index in leaves if leaf is kind)

    return choose


def _by_body(converters: Converters, leaves: _Leaves, kinds: Sequence[Any], chosen: Converter | None) -> Choose:
    """Choose by what the body can be read as; `bytes` and anything take what nothing else does."""
    rest = next((index for leaf, index in leaves if leaf in (*ANYTHING, bytes)), None)
    shaped = [each for each in leaves if each[0] not in (*ANYTHING, bytes)]
    decode = _decoder_of_any(converters, shaped, kinds, chosen)
    owners = [(leaf, matcher((leaf,)), index) for leaf, index in shaped]

    def choose(envelope: Envelope) -> int:
        try:
            payload = decode(envelope)
        except ConversionError:
            if rest is None:
                raise
            return rest
        exact = [index for leaf, _, index in owners if leaf is type(payload)]
        return exact[0] if exact else next(index for _, matches, index in owners if matches(payload))

    return choose


def _decoder_of_any(converters: Converters, leaves: _Leaves, kinds: Sequence[Any], chosen: Converter | None) -> Decode:
    if leaves:
        return compile_decoder(converters, _union([leaf for leaf, _ in leaves]), chosen)

    def refuse(envelope: Envelope) -> object:
        raise ConversionError(unreadable(envelope, _union(kinds), "it is of another type"))

    return refuse


def _union(kinds: Sequence[Any]) -> object:
    return cast("dict[object, object]", Union)[tuple(kinds)]
