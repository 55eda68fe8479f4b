"""What is shown of a value that may hold a secret."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

__all__ = ["hidden", "redact"]

_HIDDEN = "***"
# To the last "@" anywhere: a password with a raw "/", "?" or "@" in it ends a URL's
# authority too early for any parser, and half of it would be shown.
_PASSWORD = re.compile(r"\A((?:[^:@/?#]*://|(?![^:@/?#]*://))[^:]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"(?<=[?&;#])([^=?&;#]+)=([^&]*)", re.DOTALL)
_SECRET = re.compile(r"pass|pwd|token|secret|key|credential|signature", re.IGNORECASE)


def redact(url: str) -> str:
    """Return the URL without its passwords, in the user's part and in the query."""
    return _PARAMETER.sub(_without_secret, _PASSWORD.sub(rf"\1:{_HIDDEN}@", url))


def hidden(options: Mapping[str, object]) -> dict[str, str]:
    """Return the names of options without their values: only their broker knows the secrets."""
    return dict.fromkeys(options, _HIDDEN)


def _without_secret(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    if _SECRET.search(unquote(name)):
        return f"{name}={_HIDDEN}"
    # A value ends at "&" alone, so that no part of a secret is left; others are looked into.
    return f"{name}={_PARAMETER.sub(_without_secret, value)}"
