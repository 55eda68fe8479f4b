"""Payloads to bytes and back: by which converter, as which type, under which name."""

from msgkit.conversion.choosing import Choose
from msgkit.conversion.conversion import Conversion
from msgkit.conversion.decoding import Decode
from msgkit.conversion.encoding import Encoder
from msgkit.conversion.payloads import payload_kind

__all__ = ["Choose", "Conversion", "Decode", "Encoder", "payload_kind"]
