"""How a client proves who it is: each request bears a signature that only who knows the secret can make."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Credentials"]

_KEY, _TOKEN, _SIGNATURE = "AccessKey", "SecurityToken", "Signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    access_key: str
    secret: str = field(repr=False)
    #: Of those that hold for a while only; empty: they hold for good.
    token: str = field(default="", repr=False)

    def signed(self, fields: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return the fields of a request with what proves who sends it."""
        said = {**fields, _KEY: self.access_key}
        if self.token:
            said[_TOKEN] = self.token
        said.pop(_SIGNATURE, None)
        # What is no UTF-8 becomes a question mark, as it does in Java.
        content = "".join(said[name] for name in sorted(said)).encode(errors="replace") + body
        said[_SIGNATURE] = b64encode(hmac.digest(self.secret.encode(errors="replace"), content, "sha1")).decode()
        return said
