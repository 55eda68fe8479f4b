"""Where the Kafka is, as all of its clients but msgkit are told it."""

from urllib.parse import urlsplit

__all__ = ["servers"]


def servers(url: str) -> str:
    """Return the hosts of `kafka://host:port,host:port`; others would need a login, which each client writes otherwise.

    :raises ValueError: without quoting what may hold a password
    """
    parts = urlsplit(url)
    if parts.scheme != "kafka" or not parts.netloc or "@" in parts.netloc or parts.query:
        raise ValueError("it is kafka://host:port,host:port, a Kafka that asks nobody who he is")
    return parts.netloc
