"""Groups of consumers: made, described and deleted, on every broker that takes messages; and who is in them."""

import asyncio
import json
from collections.abc import Mapping
from typing import NamedTuple

from msgkit_rocketmq.client.brokers import masters
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.documents import Document, number, objects, read, rows
from msgkit_rocketmq.client.places import Broker

__all__ = ["Group", "Members", "create", "delete", "describe", "members"]

_WITHIN = 5.0
#: After so many returns brokers do nothing to messages that were lent; proxies take them away.
_RETURNS = 2**31 - 1


class Group(NamedTuple):
    """A group as one broker has it."""

    name: str
    may_consume: bool
    in_order: bool
    #: How often a message may come back through a proxy.
    returns: int


class Members(NamedTuple):
    """Who consumes for a group, of those that tell a broker; who only takes messages need not."""

    clients: frozenset[str]
    #: By topics, what kind of filter they have, and which.
    filters: Mapping[str, tuple[str, str]]


async def create(cluster: Cluster, name: str, *, in_order: bool = False, within: float = _WITHIN) -> None:
    """Have a group on each broker. One that is there already is changed."""
    body = json.dumps(
        {
            "groupName": name,
            "consumeEnable": True,
            "consumeFromMinEnable": True,
            "consumeBroadcastEnable": True,
            "consumeMessageOrderly": in_order,
            "retryQueueNums": 1,
            "retryMaxTimes": _RETURNS,
            "brokerId": 0,
            "whichBrokerWhenConsumeSlowly": 1,
            "notifyConsumerIdsChangedEnable": True,
            "groupSysFlag": 0,
            "consumeTimeoutMinute": 15,
        }
    ).encode()
    await asyncio.gather(
        *(
            cluster.ask(broker.address, Request.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=body, within=within)
            for broker in await masters(cluster)
        )
    )


async def describe(cluster: Cluster, *, within: float = _WITHIN) -> Mapping[str, Mapping[str, Group]]:
    """Return all groups, by the names of brokers and then their own. To be asked about one, a broker would make it."""

    async def one(broker: Broker) -> tuple[str, Mapping[str, Group]]:
        answer = await cluster.ask(broker.address, Request.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, within=within)
        told = objects(read(answer.body), "subscriptionGroupTable")
        return broker.name, {name: _read(name, each) for name, each in told.items()}

    return dict(await asyncio.gather(*map(one, await masters(cluster))))


def _read(name: str, told: Document) -> Group:
    return Group(
        name=name,
        may_consume=told.get("consumeEnable", True) is True,
        in_order=told.get("consumeMessageOrderly", False) is True,
        returns=number(told, "retryMaxTimes"),
    )


async def members(cluster: Cluster, group: str, *, within: float = _WITHIN) -> Mapping[str, Members]:
    """Return who is in a group, by the names of the brokers that know of anybody."""

    async def one(broker: Broker) -> tuple[str, Members] | None:
        answer = await cluster.ask(
            broker.address,
            Request.GET_CONSUMER_CONNECTION_LIST,
            {"consumerGroup": group},
            within=within,
            accepts=(Response.CONSUMER_NOT_ONLINE,),
        )
        return (broker.name, _read_members(read(answer.body))) if answer.code == Response.SUCCESS else None

    found = await asyncio.gather(*map(one, await masters(cluster)))
    return dict(each for each in found if each is not None)


def _read_members(told: Document) -> Members:
    return Members(
        clients=frozenset(str(each.get("clientId")) for each in rows(told, "connectionSet")),
        filters={
            topic: (str(each.get("expressionType", "TAG")), str(each.get("subString", "*")))
            for topic, each in objects(told, "subscriptionTable").items()
        },
    )


async def delete(cluster: Cluster, name: str, *, within: float = _WITHIN) -> None:
    """Delete a group, if there is one, and how far it has come."""
    await asyncio.gather(
        *(
            cluster.ask(
                broker.address,
                Request.DELETE_SUBSCRIPTIONGROUP,
                {"groupName": name, "cleanOffset": True},
                within=within,
            )
            for broker in await masters(cluster)
        )
    )
