from base64 import b64encode
from hashlib import sha1
from hmac import HMAC

from msgkit_rocketmq.client.signing import Credentials

ALICE = Credentials(access_key="alice", secret="secret")  # noqa: S106 -- opens nothing


def signature(content: bytes) -> str:
    return b64encode(HMAC(b"secret", content, sha1).digest()).decode()


def test_a_signature_is_of_all_values_in_the_order_of_their_names_and_of_the_body() -> None:
    signed = ALICE.signed({"topic": "t", "B": "2", "a": "ü"}, b"\x00body")
    assert signed["AccessKey"] == "alice"
    assert signed["Signature"] == signature("alice2üt".encode() + b"\x00body")
    assert signed.items() >= {"topic": "t", "B": "2", "a": "ü"}.items()


def test_a_token_is_signed_as_well() -> None:
    signed = Credentials(access_key="alice", secret="secret", token="token").signed({"x": "1"}, b"")  # noqa: S106 -- as above
    assert signed["SecurityToken"] == "token"
    assert signed["Signature"] == signature(b"alicetoken1")


def test_what_is_signed_again_is_not_signed_with_its_signature() -> None:
    assert ALICE.signed(ALICE.signed({"x": "1"}, b""), b"") == ALICE.signed({"x": "1"}, b"")


def test_what_no_utf_8_can_say_is_signed_as_java_does() -> None:
    assert ALICE.signed({"x": "\ud800"}, b"")["Signature"] == signature(b"alice?")


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(ALICE)
    assert "token" not in repr(Credentials(access_key="a", secret="s", token="my token")).replace("token=", "")  # noqa: S106 -- as above
