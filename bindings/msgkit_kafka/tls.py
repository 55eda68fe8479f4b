"""Whom a TLS connection trusts, and who it says it is."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgkit.errors import ConfigurationError

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files in PEM, and what they are used for."""

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

    def __post_init__(self) -> None:
        if not self.verify and self.ca_file is not None:
            msg = "Kafka's option ca_file says whom to trust, and verify=false trusts anybody; leave one of them out"
            raise ConfigurationError(msg)
        for name in ("key_file", "key_password"):
            if getattr(self, name) is not None and self.cert_file is None:
                msg = f"Kafka's option {name} is for a certificate; say cert_file as well"
                raise ConfigurationError(msg)

    def context(self) -> ssl.SSLContext:
        """Read the files; each time anew, so that certificates can be renewed while the program runs.

        :raises ConfigurationError: naming the option whose file cannot be used
        """
        with _blaming("option ca_file"):
            context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            with _blaming("options cert_file, key_file and key_password"):
                # Without a password given, OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, self.key_password or "")
        return context


@contextmanager
def _blaming(what: str) -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "OpenSSL cannot read it"
        msg = f"Kafka's {what} cannot be used: {str(reason).replace('_', ' ').lower()}"
        raise ConfigurationError(msg) from error
