import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Literal

import pytest

from msgkit_kafka.wire.errors import LoginRefused
from msgkit_kafka.wire.sasl import Bearer, Plain, Scram

Algorithm = Literal["sha256", "sha512"]

#: RFC 7677, section 3.
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class Broker:
    """The other side of SCRAM, which keeps no password: written by the RFC, and not by what is tested."""

    def __init__(self, user: str, password: str, algorithm: Algorithm, rounds: int = 4096) -> None:
        self.algorithm: Algorithm = algorithm
        self.user, self.rounds, self.salt = user, rounds, b"salt of its own"
        salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), self.salt, rounds)
        client_key = hmac.new(salted, b"Client Key", algorithm).digest()
        self.stored_key = hashlib.new(algorithm, client_key).digest()
        self.server_key = hmac.new(salted, b"Server Key", algorithm).digest()

    def begins(self, first: bytes) -> bytes:
        header, bare = first[:3], first[3:]
        assert header == b"n,,"
        said = dict(part.split(b"=", 1) for part in bare.split(b","))
        assert said[b"n"].replace(b"=2C", b",").replace(b"=3D", b"=").decode() == self.user
        self.bare, self.nonce = bare, said[b"r"] + b"broker"
        self.first = b"r=%b,s=%b,i=%d" % (self.nonce, b64encode(self.salt), self.rounds)
        return self.first

    def ends(self, final: bytes) -> bytes:
        without, _, proof = final.rpartition(b",p=")
        assert without == b"c=biws,r=" + self.nonce
        said = b",".join((self.bare, self.first, without))
        signature = hmac.new(self.stored_key, said, self.algorithm).digest()
        key = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        if hashlib.new(self.algorithm, key).digest() != self.stored_key:
            return b"e=invalid-proof"
        return b"v=" + b64encode(hmac.new(self.server_key, said, self.algorithm).digest())


def test_plain_says_the_password_and_has_nothing_to_add() -> None:
    login = Plain("größe", "pass word")
    assert (login.mechanism, login.first()) == ("PLAIN", "\0größe\0pass word".encode())
    assert login.next(b"") is None


def test_plain_cannot_say_a_nul() -> None:
    for user, password in (("a\0b", "c"), ("a", "b\0c")):
        with pytest.raises(LoginRefused, match="NUL"):
            Plain(user, password)


def test_scram_says_what_the_rfc_says() -> None:
    login = Scram("user", "pencil", nonce=NONCE)
    assert login.mechanism == "SCRAM-SHA-256"
    assert login.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert login.next(SERVER_FIRST) == CLIENT_FINAL
    assert login.next(SERVER_FINAL) is None


@pytest.mark.parametrize(("algorithm", "mechanism"), [("sha256", "SCRAM-SHA-256"), ("sha512", "SCRAM-SHA-512")])
@pytest.mark.parametrize(("user", "password"), [("app", "pw"), ("a=b,c=2C", "=,\0"), ("größe", "zwölf \u00a0ﬁ")])
def test_both_sides_know_the_password(algorithm: Algorithm, mechanism: str, user: str, password: str) -> None:
    login, broker = Scram(user, password, algorithm), Broker(user, password, algorithm, 5000)
    assert login.mechanism == mechanism
    final = login.next(broker.begins(login.first()))
    assert final is not None
    assert login.next(broker.ends(final)) is None


def test_each_login_has_a_nonce_of_its_own() -> None:
    assert Scram("app", "pw").first() != Scram("app", "pw").first()


def test_a_wrong_password_is_told_as_the_broker_tells_it() -> None:
    login, broker = Scram("app", "wrong"), Broker("app", "pw", "sha256")
    final = login.next(broker.begins(login.first()))
    assert final is not None
    with pytest.raises(LoginRefused, match="the broker says: invalid-proof"):
        login.next(broker.ends(final))


def test_a_broker_that_does_not_know_the_password_is_not_believed() -> None:
    login, broker = Scram("app", "pw"), Broker("app", "other", "sha256")
    login.next(broker.begins(login.first()))
    forged = b"v=" + b64encode(hmac.new(broker.server_key, b"x", "sha256").digest())
    with pytest.raises(LoginRefused, match="does not know the password"):
        login.next(forged)


@pytest.mark.parametrize("answer", [b"", b"v=", b"v=%%%", b"v=abc", b"ok", b"r=x", b"v=6rri", b"\xff", b"e="])
def test_a_broker_that_proves_nothing_is_not_believed(answer: bytes) -> None:
    login = Scram("user", "pencil", nonce=NONCE)
    login.next(SERVER_FIRST)
    with pytest.raises(LoginRefused):
        login.next(answer)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"", "began with what it must not"),
        (b"\xff", "began with what it must not"),
        (SERVER_FIRST.replace(b"rOpr", b"rOpx"), "began with what it must not"),
        (b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "began with what it must not"),
        (b"m=new," + SERVER_FIRST, "began with what it must not"),
        (SERVER_FIRST.replace(b"i=4096", b"i=x"), "began with what it must not"),
        (SERVER_FIRST.replace(b"i=4096", b"i=4095"), "asks for 4,095 rounds"),
        (SERVER_FIRST.replace(b"i=4096", b"i=999999999"), "asks for 999,999,999 rounds; between 4,096 and"),
        (SERVER_FIRST.replace(b"gQ==", b"g==="), "base64 that is none"),
        (SERVER_FINAL, "began with what it must not"),
        (b"e=unknown-user", "the broker says: unknown-user"),
        (b"e=\x1b[31m", r"the broker says: '\\x1b\[31m'"),
    ],
)
def test_a_broker_that_begins_wrong_is_told_nothing(first: bytes, why: str) -> None:
    login = Scram("user", "pencil", nonce=NONCE)
    with pytest.raises(LoginRefused, match=why):
        login.next(first)


def test_what_a_newer_broker_adds_is_passed_over_and_signed_with_the_rest() -> None:
    login, broker = Scram("app", "pw"), Broker("app", "pw", "sha256")
    broker.first = broker.begins(login.first()) + b",x=more"
    final = login.next(broker.first)
    assert final is not None
    assert login.next(broker.ends(final) + b",y=more") is None


def test_a_token_says_all() -> None:
    login = Bearer("abc.def-123=")
    assert (login.mechanism, login.first()) == ("OAUTHBEARER", b"n,,\x01auth=Bearer abc.def-123=\x01\x01")
    assert login.next(b"") is None


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        (b'{"status":"invalid_token","scope":"x"}', "does not take the token: invalid_token$"),
        (b'{"status" : "insufficient_scope"}', "insufficient_scope$"),
        (b"no\nJSON", r"'no\\nJSON'"),
        (b"\xff" * 10_000, "the token: .{200}$"),
    ],
)
def test_a_token_that_is_not_taken_is_told_as_the_broker_tells_it(challenge: bytes, why: str) -> None:
    with pytest.raises(LoginRefused, match=why):
        Bearer("abc").next(challenge)


@pytest.mark.parametrize("token", ["", "a b", "a\x01b", "größe", "secret\n"])
def test_what_cannot_be_a_token_is_not_sent_and_not_shown(token: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        Bearer(token)
    assert "secret" not in str(refused.value)
