"""What the broker is asked to leave out, where it understands what a queue takes. Pure.

It may hand out more than is asked for, and what is not for the queue ends in the consumer: so an expression only has to
let nothing fall through that is. That is why a subject is the tag of its message, or its beginning and end are.
"""

import re
from collections.abc import Sequence

from msgkit.spi import RouteSpec
from msgkit_rocketmq.client.popping import EVERYTHING, Filter

__all__ = ["expression_of"]

#: What means nothing in an expression, of either kind.
_PLAIN = re.compile(r"[a-zA-Z0-9._/:-]+")
_WILD = ("*", "#")


def expression_of(routes: Sequence[RouteSpec]) -> Filter:
    """Return what lets through all that one of the routes takes."""
    exact: list[str] = []
    terms: list[str] = []
    for route in routes:
        if (subject := _exact(route)) is not None:
            exact.append(subject)
        elif (term := _term(route)) is not None:
            terms.append(term)
        else:
            return EVERYTHING
    if not all(_PLAIN.fullmatch(subject) for subject in exact):
        return EVERYTHING
    if not terms:
        return Filter("TAG", " || ".join(sorted(set(exact)))) if exact else EVERYTHING
    terms += [f"TAGS = '{subject}'" for subject in exact]
    return Filter("SQL92", " OR ".join(f"({term})" for term in sorted(set(terms))))


def _exact(route: RouteSpec) -> str | None:
    """Return the only subject that a route takes."""
    is_exact = route.kind == "direct" or (
        route.kind == "topic" and not any(word in _WILD for word in route.subject.split("."))
    )
    return route.subject if is_exact else None


def _term(route: RouteSpec) -> str | None:
    """Return what is so of all tags that a pattern matches; None when nothing is."""
    if route.kind != "topic":
        return None
    words = route.subject.split(".")
    wild = [number for number, word in enumerate(words) if word in _WILD]
    # A `#` may stand for no words at all, and then there is no dot before it, nor behind.
    begin = ".".join(words[: wild[0]]) + ("." if wild[0] and words[wild[0]] == "*" else "")
    end = ("." if words[wild[-1]] == "*" and words[wild[-1] + 1 :] else "") + ".".join(words[wild[-1] + 1 :])
    said = [
        f"TAGS {how} '{part}'" for how, part in (("STARTSWITH", begin), ("ENDSWITH", end)) if _PLAIN.fullmatch(part)
    ]
    return " AND ".join(said) or None
