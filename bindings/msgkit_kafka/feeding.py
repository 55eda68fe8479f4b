"""Reading on, for the partitions of one consumer: as far ahead as there is room for what waits."""

from collections.abc import Callable

from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.part import Part
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.logs import FetchedPartition
from msgkit_kafka.wire.records import Decoded

__all__ = ["Feed"]

#: Bytes of one partition that may wait before more of it is fetched, and of all.
_ENOUGH_OF_ONE, _ENOUGH = 256 * 1024, 32 * 1024 * 1024


class Feed:
    """`on_came` hears that there is more to hand out, `on_failed` that a partition cannot be read."""

    def __init__(
        self, fetcher: Fetcher, *, on_came: Callable[[], None], on_failed: Callable[[Part, WireError], None]
    ) -> None:
        self._fetcher = fetcher
        self._on_came = on_came
        self._on_failed = on_failed
        #: Bytes that came and are not handed out.
        self.buffered = 0

    def stop(self, part: Part) -> None:
        """Read no more of it, and forget what waits."""
        self._let_go(part)
        self.buffered -= part.forget_waiting()

    def skip(self, part: Part, offset: int) -> None:
        """Go on with it there, and forget what waits before."""
        self._let_go(part)
        self.buffered -= part.skip_to(offset)

    def _let_go(self, part: Part) -> None:
        if part.wish is not None:
            self._fetcher.cancel(part.wish)
            part.wish = None

    def read_on(self, part: Part) -> None:
        if part.wish is None and part.buffered < _ENOUGH_OF_ONE and self.buffered < _ENOUGH:

            def came(found: Decoded, _: FetchedPartition) -> None:
                part.wish = None
                self.buffered += part.came(found.records, found.next_offset)
                self._on_came()

            def failed(error: WireError) -> None:
                part.wish = None
                self._on_failed(part, error)

            part.wish = Wish(part.partition, part.position, came, failed)
            self._fetcher.fetch(part.wish)
