"""Whom a TLS connection trusts, and who it says it is."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from msgkit.errors import ConfigurationError
from msgkit.reaching.said import Said

__all__ = ["Tls", "explained"]

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = b"ENCRYPTED"
#: OpenSSL's for a certificate that bears another name, or another address.
_OTHER_NAMES = (62, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files in PEM, and what they are used for."""

    #: Whom it is for, as people write it: "Kafka".
    broker: str
    #: Certificates of those who are trusted. None: those that the machine trusts.
    ca_file: str | None = None
    #: Our own certificate, where the broker asks for one.
    cert_file: str | None = None
    #: Its private key. None: it stands in `cert_file`.
    key_file: str | None = None
    #: What the private key is encrypted with.
    key_password: str | None = field(default=None, repr=False)
    #: False: anybody is trusted who answers.
    verify: bool = True

    @classmethod
    def of(cls, said: Said) -> "Tls":
        """Return what the options say.

        :raises ConfigurationError: naming one that is wrong, or does not go with the others
        """
        return cls(
            broker=said.broker,
            ca_file=said.file("ca_file"),
            cert_file=said.file("cert_file"),
            key_file=said.file("key_file"),
            key_password=said.secret("key_password"),
            verify=said.truth("verify", default=True),
        )

    def __post_init__(self) -> None:
        if not self.verify and self.ca_file is not None:
            raise self._wrong("option ca_file says whom to trust, and verify=false trusts anybody; leave one out")
        for name in ("key_file", "key_password"):
            if getattr(self, name) is not None and self.cert_file is None:
                raise self._wrong(f"option {name} is for a certificate; say cert_file as well")

    def context(self) -> ssl.SSLContext:
        """Read the files; each time anew, so that certificates can be renewed while the program runs.

        :raises ConfigurationError: naming the option whose file cannot be used
        """
        if self.ca_file is not None:
            self._read_certificate(self.ca_file, "ca_file")
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            self._identify(context, self.cert_file)
        return context

    def _identify(self, context: ssl.SSLContext, cert_file: str) -> None:
        certificate = self._read_certificate(cert_file, "cert_file")
        key_file = self.key_file
        if key_file is None and _KEY not in certificate:
            raise self._wrong(f"option cert_file holds no private key ({cert_file}); say where it is with key_file")
        key = certificate if key_file is None else self._read(key_file, "key_file", _KEY, "private key")
        encrypted = _ENCRYPTED in key
        if encrypted and not self.key_password:
            msg = f"the private key of {self.broker}'s client certificate is encrypted: set the option key_password"
            raise ConfigurationError(msg)
        with self._blaming("option key_password" if encrypted else f"option {'key_file' if key_file else 'cert_file'}"):
            # Without a password given, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(cert_file, key_file, self.key_password or "")

    def _read_certificate(self, path: str, name: str) -> bytes:
        content = self._read(path, name, _CERTIFICATE, "certificate")
        with self._blaming(f"option {name}"):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return content

    def _read(self, path: str, name: str, mark: bytes, what: str) -> bytes:
        try:
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise self._wrong(f"option {name} names a file that cannot be read: {path} ({reason})") from error
        if mark not in content:
            raise self._wrong(f"option {name} names a file that holds no {what} in PEM: {path}")
        return content

    @contextmanager
    def _blaming(self, what: str) -> Generator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "reason", None) or "OpenSSL cannot read it").replace("_", " ")
            if "MISMATCH" in reason:
                what, reason = "options cert_file and key_file", "they do not belong together"
            raise self._wrong(f"{what} cannot be used: {reason}") from error

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.broker}'s {what}")


def explained(error: ssl.SSLError, plain: str) -> str:
    """Say why a connection could not be secured, and what can be done about it.

    :param plain: the scheme of what is not secured
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        better = (
            "the option server_hostname says which name it bears"
            if error.verify_code in _OTHER_NAMES
            else "the option ca_file says whom to trust"
        )
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}; {better}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version number" in reason:
        return f"it speaks no TLS there: is that the port for {plain}://?"
    return f"TLS failed: {reason}"
