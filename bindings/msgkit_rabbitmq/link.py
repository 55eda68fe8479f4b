"""A connection that is kept: made again when it is lost, with growing pauses, and a line in the log for people."""

import asyncio
import errno
import logging
import ssl
from asyncio import Future, Task
from collections.abc import Awaitable, Callable

from msgkit.errors import BrokerUnavailable, ConfigurationError, MessagingError
from msgkit.reaching import Address, explained
from msgkit.spi.pauses import pause
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.wire import Connection, ConnectionLost, Login, LoginRefused, WireError

__all__ = ["Link"]

_log = logging.getLogger("msgkit.rabbitmq")
#: Seconds. Who is lost sooner, and again, may be lost for what is done with the connection.
_BRIEF = 5.0
_ACCESS, _NOT_ALLOWED = 403, 530
_NOBODY = f"[Errno {errno.ECONNREFUSED}]"


class Link:
    """One connection for one purpose. It is up when `on_up` has returned, and until `on_down` is called."""

    def __init__(
        self,
        settings: RabbitSettings,
        *,
        purpose: str,
        client: str,
        on_up: Callable[[Connection], Awaitable[None]],
        on_down: Callable[[str], None],
        on_blocked: Callable[[str | None], None] | None = None,
    ) -> None:
        self._settings = settings
        self._purpose = purpose
        self._client = client
        self._on_up = on_up
        self._on_down = on_down
        self._on_blocked = on_blocked or self._blocked
        self._addresses = list(settings.addresses)
        self._loop = asyncio.get_running_loop()
        self._task: Task[None] | None = None
        self._opened: Future[None] = self._loop.create_future()
        self._tried: Future[None] = self._loop.create_future()
        self._lost: Future[str] | None = None
        self._reason = ""
        self._is_up = asyncio.Event()
        self.connection: Connection | None = None

    @property
    def is_up(self) -> bool:
        return self._is_up.is_set()

    async def open(self, wait: float) -> None:
        """Return when the link is up.

        :raises ConfigurationError: when the broker does not want us
        :raises BrokerUnavailable: when nobody answers within so many seconds
        """
        self._task = self._loop.create_task(self._keep())
        try:
            async with asyncio.timeout(wait or None):
                # Who does not want to wait hears when each address was tried once.
                await asyncio.shield(self._opened if wait else self._tried)
        except TimeoutError:
            pass
        except BaseException:
            await self.close(0)
            raise
        if not self._opened.done():
            await self.close(0)
            where = ", ".join(str(address) for address in self._settings.addresses)
            msg = f"RabbitMQ at {where} could not be reached within {wait:g} s: {self._reason or 'no answer'}"
            raise BrokerUnavailable(msg)
        await self._opened

    async def up(self) -> Connection:
        """Return the connection when the link is up (again)."""
        while True:
            await self._is_up.wait()
            if (connection := self.connection) is not None:
                return connection

    async def close(self, deadline: float) -> None:
        self._is_up.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.close(deadline)

    # -- keeping it

    async def _keep(self) -> None:
        failures = brief = 0
        began = self._loop.time()
        while True:
            try:
                connection = await self._connect()
            except Exception as error:  # noqa: BLE001 -- whatever it is, nobody else would try again
                failures += 1
                if not isinstance(error, (WireError, MessagingError)):
                    _log.exception("the connection for %s could not be made ready", self._purpose)
                self._note(error, failures)
                await asyncio.sleep(self._pause(failures, is_final=isinstance(error, ConfigurationError)))
                continue
            came = self._loop.time()
            self.connection = connection
            self._is_up.set()
            self._came_up(connection, failures, began)
            failures = 0
            assert self._lost is not None  # noqa: S101 -- made when connecting
            self._reason = await self._lost
            began = self._loop.time()
            _log.warning("the connection for %s was lost: %s; connecting again", self._purpose, self._reason)
            brief = brief + 1 if began - came < _BRIEF else 0
            if brief > 1:
                await asyncio.sleep(self._pause(brief - 1))

    async def _connect(self) -> Connection:
        address = self._addresses[0]
        # The next try is at the next one, whoever fails.
        self._addresses.append(self._addresses.pop(0))
        lost = self._lost = self._loop.create_future()

        def closed(error: WireError) -> None:
            if not lost.done():
                lost.set_result(str(error))
                self._went_down(str(error))

        login = self._login()
        try:
            connection = await Connection.open(*address, login, on_closed=closed, on_blocked=self._on_blocked)
        except LoginRefused as error:
            raise _refused(error, self._settings, address) from error
        try:
            await self._on_up(connection)
        except BaseException:
            connection.abort("it could not be made ready")
            raise
        if lost.done():
            raise ConnectionLost(lost.result())
        return connection

    def _login(self) -> Login:
        settings = self._settings
        return Login(
            user=settings.user,
            password=settings.password,
            vhost=settings.vhost,
            name=f"{settings.connection_name or self._client} ({self._purpose})",
            mechanism=settings.auth.upper(),
            tls=settings.tls,
            server_hostname=settings.server_hostname,
            heartbeat=settings.heartbeat,
            timeout=settings.connect_timeout,
        )

    def _pause(self, failures: int, *, is_final: bool = False) -> float:
        if len(self._addresses) > failures:
            return 0.0
        return pause(failures, is_final=is_final)

    def _note(self, error: Exception, failures: int) -> None:
        self._reason = _why(error)
        if failures >= len(self._addresses) or isinstance(error, ConfigurationError):
            _done(self._tried)
        if not self._opened.done() and isinstance(error, ConfigurationError):
            self._opened.set_exception(error)
        elif failures in (1, 5) or failures % 20 == 0:
            text = "no connection for %s to %s yet, trying on: %s"
            _log.warning(text, self._purpose, self._addresses[-1], self._reason)

    def _came_up(self, connection: Connection, failures: int, began: float) -> None:
        _done(self._tried)
        there = self._addresses[-1]
        if not self._opened.done():
            self._opened.set_result(None)
            text = "the connection for %s is there: RabbitMQ %s at %s, vhost %r"
            _log.info(text, self._purpose, connection.server.get("version"), there, self._settings.vhost)
        else:
            text = "the connection for %s is back, to %s, after %.1f s and %d tries"
            _log.info(text, self._purpose, there, self._loop.time() - began, failures + 1)

    def _went_down(self, reason: str) -> None:
        """Hear it at once: nobody is to be given a connection that is gone."""
        if self.connection is not None:
            self._is_up.clear()
            self.connection = None
            self._on_down(reason)

    def _blocked(self, reason: str | None) -> None:
        if reason is not None:
            _log.warning("the broker takes no messages at the moment: %s", reason)


def _done(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _why(error: Exception) -> str:
    # A name with several addresses fails by several errors in one text.
    tried = str(error.__cause__) if isinstance(error.__cause__, OSError) else ""
    if tried and tried.count("[Errno") == tried.count(_NOBODY) > 0:
        return "the connection was refused, since nobody listens there"
    return str(error)


def _refused(error: LoginRefused, settings: RabbitSettings, address: Address) -> ConfigurationError:
    if error.code == _ACCESS:
        said = f"it refuses user {settings.user!r} or the password"
    elif error.code == _NOT_ALLOWED and "not found" in error.text:
        said = f"it has no vhost {settings.vhost!r}"
    elif error.code == _NOT_ALLOWED:
        said = f"user {settings.user!r} may not use vhost {settings.vhost!r} ({error.text})"
    elif isinstance(error.__cause__, ssl.SSLError):
        said = explained(error.__cause__, "amqp")
    else:
        said = error.text
    return ConfigurationError(f"RabbitMQ at {address}: {said}")
