"""Half messages: stored, seen by nobody, and asked about when their sender is silent."""

from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger

from msgkit.envelope import Envelope
from msgkit.errors import SendRefused
from msgkit_memory.clients import Client
from msgkit_memory.due import Ticket

__all__ = ["Half", "Halves"]

_log = getLogger("msgkit.memory")
_LONGEST_PAUSE = 60.0


class Half:
    """A message that is not yet one; `outcome` says whether it became one."""

    __slots__ = ("check", "client", "envelope", "outcome", "ticket", "tries")

    def __init__(self, envelope: Envelope, check: str, client: Client) -> None:
        self.envelope = envelope
        self.check = check
        self.client: Client | None = client
        self.outcome: bool | None = None
        self.ticket: Ticket | None = None
        self.tries = 0


class Halves:
    """All half messages of a server. Called with its lock held."""

    def __init__(
        self,
        *,
        check_after: float,
        store: Callable[[Envelope], None],
        schedule: Callable[[float, Callable[[], None]], Ticket],
        who: Callable[[str], Sequence[Client]],
    ) -> None:
        self._check_after = check_after
        self._store = store
        self._schedule = schedule
        self._who = who
        self._open: dict[Half, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def prepare(self, envelope: Envelope, check: str, client: Client) -> Half:
        half = Half(envelope, check, client)
        self._open[half] = None
        self._ask_in(half, self._check_after)
        return half

    def conclude(self, half: Half, *, commit: bool) -> None:
        """Make it a message, or nothing; the first conclusion stands."""
        if half.outcome is not None:
            return
        if commit:
            self._store(half.envelope)
        half.outcome = commit
        self._open.pop(half, None)
        if half.ticket is not None:
            half.ticket.cancel()

    def abandoned(self, client: Client) -> None:
        """Ask about what a client prepared that is gone."""
        for half in self._open:
            if half.client is client:
                half.client = None
                self._ask_in(half, 0.0)

    def offered(self, checks: Sequence[str]) -> None:
        """Ask now what could not be answered before."""
        for half in self._open:
            if half.tries and half.check in checks:
                self._ask_in(half, 0.0)

    def _ask_in(self, half: Half, pause: float) -> None:
        if half.ticket is not None:
            half.ticket.cancel()
        half.ticket = self._schedule(pause, partial(self._ask, half))

    def _ask(self, half: Half) -> None:
        half.tries += 1
        # Whoever is asked may die over it, or never answer: the next time is set now.
        self._ask_in(half, min(self._check_after * 2 ** min(half.tries, 16), self._longest))
        if clients := self._who(half.check):
            client = clients[half.tries % len(clients)]
            answer = partial(self._answered, half)
            client.post(partial(client.ears.asked, half.check, half.envelope, answer))

    @property
    def _longest(self) -> float:
        return max(self._check_after, _LONGEST_PAUSE)

    def _answered(self, half: Half, commit: bool | None) -> None:  # noqa: FBT001 -- the answer itself
        if commit is None:
            return
        try:
            self.conclude(half, commit=commit)
        except SendRefused:
            _log.exception("half message %s cannot be committed", half.envelope.message_id)
            self.conclude(half, commit=False)
