"""What the members of a group say of their filters: what one leaves out is gone for all, so all have the same.

Each says it to the brokers as what it wants, where every other can look it up. They keep what was said first, for as
long as somebody is there.
"""

from collections.abc import Iterable, Mapping

from msgkit.errors import ConfigurationError
from msgkit.spi.filtering import Filter
from msgkit_rocketmq.client import groups
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.presence import Interest
from msgkit_rocketmq.sources import Feed

__all__ = ["agree"]

#: Before a fingerprint, which is said where other programs say an expression.
_OURS = "msgkit-"


async def agree(cluster: Cluster, group: str, feeds: Iterable[Feed]) -> None:
    """Be a member of a group that takes the same.

    :raises ConfigurationError: when others who are there take something else
    :raises ClientError: when that cannot be found out
    """
    filters = {feed.topic: feed.filter for feed in feeds if feed.filter is not None}
    said = {topic: (each, f"{_OURS}{each.fingerprint}") for topic, each in filters.items()}
    if not said:
        return
    await _check(cluster, group, said)
    await cluster.presence.consume(group, [Interest(topic, text) for topic, (_, text) in said.items()])
    try:
        # Somebody may have come at the same time.
        await _check(cluster, group, said)
    except ConfigurationError:
        await cluster.presence.leave(group)
        raise


async def _check(cluster: Cluster, group: str, said: Mapping[str, tuple[Filter, str]]) -> None:
    for members in (await groups.members(cluster, group)).values():
        for topic, (taken, ours) in said.items():
            _, theirs = members.filters.get(topic, ("", ours))
            # What other programs say is theirs to answer for.
            if theirs.startswith(_OURS) and theirs != ours:
                raise ConfigurationError(
                    f"group {group!r}: others consume it with other routes than {taken.text} from {topic!r}, "
                    "so that messages of either would be lost: stop them first"
                )
