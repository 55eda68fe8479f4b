"""Bytes as they are: `application/octet-stream`."""

from msgkit_bytes.octets import Bytes

__all__ = ["Bytes"]
