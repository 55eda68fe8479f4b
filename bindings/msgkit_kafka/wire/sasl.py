"""How a client proves who it is, and the broker that it knew: what is said in turn, whoever carries it."""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hmac import compare_digest, digest
from secrets import token_urlsafe
from typing import Literal, Protocol

from msgkit_kafka.wire.errors import LoginRefused

__all__ = ["Bearer", "Plain", "Sasl", "Scram"]

#: Kafka has 4,096 at least, and 16,384 at most. Fewer would be easy to guess from, and more would hold up everybody.
_LEAST_ROUNDS, _MOST_ROUNDS = 4096, 200_000
_SERVER_FIRST = re.compile(rb"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/]+=*),i=(?P<rounds>[0-9]{1,9})(?:,.*)?")
_SERVER_FINAL = re.compile(rb"v=(?P<proof>[A-Za-z0-9+/]+=*)(?:,.*)?")
_SERVER_ERROR = re.compile(rb"e=(?P<why>[^,]*)(?:,.*)?")
#: In base64, where a binding to the TLS channel would stand: there is none.
_HEADER, _HEADER_64 = b"n,,", b"biws"
_TOKEN = re.compile(r"[!-~]+")
_STATUS = re.compile(rb'"status"\s*:\s*"([^"]+)"')
_SHOWN = 200


class Sasl(Protocol):
    """One login. `first` is sent; to each challenge goes what `next` returns, until that is None."""

    @property
    def mechanism(self) -> str: ...
    def first(self) -> bytes: ...
    def next(self, challenge: bytes, /) -> bytes | None:
        """Return the answer to a challenge; None when nothing is left to be said.

        :raises LoginRefused: when the broker does not want us, or does not prove that it knows who we are
        """
        ...


class Plain:
    """The password as it is (RFC 4616)."""

    mechanism = "PLAIN"

    def __init__(self, user: str, password: str) -> None:
        if "\0" in user or "\0" in password:
            raise LoginRefused("the user or the password holds a NUL, which PLAIN cannot say")
        self._said = f"\0{user}\0{password}".encode()

    def first(self) -> bytes:
        return self._said

    def next(self, challenge: bytes, /) -> bytes | None:
        del challenge
        return None


class Scram:
    """Both know the password, and neither says it (RFC 5802).

    Names and passwords are the bytes that they are in UTF-8: Kafka prepares neither, and so must not we.
    """

    def __init__(
        self, user: str, password: str, algorithm: Literal["sha256", "sha512"] = "sha256", *, nonce: str | None = None
    ) -> None:
        self.mechanism = f"SCRAM-SHA-{algorithm.removeprefix('sha')}"
        self._algorithm = algorithm
        self._password = password.encode()
        self._nonce = (token_urlsafe(24) if nonce is None else nonce).encode()
        name = user.replace("=", "=3D").replace(",", "=2C").encode()
        self._bare = b"n=" + name + b",r=" + self._nonce
        self._awaited: Callable[[bytes], bytes | None] = self._prove
        self._proof = b""

    def first(self) -> bytes:
        return _HEADER + self._bare

    def next(self, challenge: bytes, /) -> bytes | None:
        return self._awaited(challenge)

    def _prove(self, challenge: bytes) -> bytes:
        found = _SERVER_FIRST.fullmatch(challenge)
        if found is None or not found["nonce"].startswith(self._nonce) or found["nonce"] == self._nonce:
            raise _refused(challenge, f"{self.mechanism} began with what it must not")
        rounds = int(found["rounds"])
        if not _LEAST_ROUNDS <= rounds <= _MOST_ROUNDS:
            why = (
                f"{self.mechanism} asks for {rounds:,} rounds; between {_LEAST_ROUNDS:,} and {_MOST_ROUNDS:,} are done"
            )
            raise LoginRefused(why)
        salted = hashlib.pbkdf2_hmac(self._algorithm, self._password, _decoded(found["salt"]), rounds)
        final = b"c=" + _HEADER_64 + b",r=" + found["nonce"]
        said = b",".join((self._bare, challenge, final))
        key = self._signed(salted, b"Client Key")
        signature = self._signed(hashlib.new(self._algorithm, key).digest(), said)
        self._proof = self._signed(self._signed(salted, b"Server Key"), said)
        self._awaited = self._check
        return final + b",p=" + b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True)))

    def _signed(self, key: bytes, said: bytes) -> bytes:
        return digest(key, said, self._algorithm)

    def _check(self, challenge: bytes) -> None:
        found = _SERVER_FINAL.fullmatch(challenge)
        if found is None:
            raise _refused(challenge, f"{self.mechanism} ended with what it must not")
        if not compare_digest(_decoded(found["proof"]), self._proof):
            raise LoginRefused("the broker does not know the password, and so is not who it should be")


class Bearer:
    """A token says it all (RFC 7628)."""

    mechanism = "OAUTHBEARER"

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise LoginRefused("the token is empty, or holds a character that no token has")
        self._said = f"n,,\x01auth=Bearer {token}\x01\x01".encode()

    def first(self) -> bytes:
        return self._said

    def next(self, challenge: bytes, /) -> bytes | None:
        if not challenge:
            return None
        found = _STATUS.search(challenge)
        raise LoginRefused(f"the broker does not take the token: {_shown(found[1] if found else challenge)}")


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise LoginRefused("the broker writes base64 that is none") from None


def _refused(challenge: bytes, otherwise: str) -> LoginRefused:
    found = _SERVER_ERROR.fullmatch(challenge)
    return LoginRefused(f"the broker says: {_shown(found[1])}" if found else f"{otherwise}: {_shown(challenge)}")


def _shown(said: bytes) -> str:
    text = said[:_SHOWN].decode("utf-8", "replace")
    return text if text.isprintable() else repr(text)
