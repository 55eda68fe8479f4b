import sys
from pathlib import Path

import pytest

from msgkit.testing import probe
from tests.scenarios import placing
from tests.scenarios.growing import Shipping, erp, make_app, of_tenant, plugins
from tests.scenarios.shop import OrderPlaced, orders

ORDER = OrderPlaced("1", "17", "eu", 30)


async def test_an_order_of_the_old_system_goes_through_all_of_the_new() -> None:
    shipping = Shipping("sea")
    async with probe(make_app(shipping, "17")) as probed:
        await probed.template.send(erp, ORDER)
        await probed.idle()
        assert shipping.shipped == ["1 by sea"]
        assert [message.payload for message in probed.handled(placing.bill)] == [ORDER]
        async with probed.template.receive(of_tenant("17")) as (order,):
            assert order.payload == ORDER


async def test_the_old_system_reads_the_type_where_it_always_did() -> None:
    async with probe(make_app(Shipping("sea"), "17")) as probed:
        await probed.template.send(erp, ORDER)
        (sent,) = probed.sent(erp)
        assert sent.headers["__TypeId__"] == "com.example.OrderPlaced"


async def test_a_tenant_whose_queue_nobody_declared_gets_a_dead_letter_and_no_new_queue() -> None:
    async with probe(make_app(Shipping("sea"))) as probed:
        await probed.template.send(erp, ORDER)
        await probed.advance(60)
        (letter,) = probed.dead(orders.queue("tenants"))
        assert letter.headers["msgkit-dead-error"] == "Unroutable"
        assert probed.dead(placing.billing) == []


async def test_a_plugin_brings_listeners(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shop_plugin.py").write_text(
        "from msgkit import listener\n"
        "from tests.scenarios.shop import OrderPlaced, orders\n"
        "@listener(orders.queue('plugged'))\n"
        "async def plug(order: OrderPlaced) -> None: ...\n"
    )
    info = tmp_path / "shop_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[shop.listeners]\nplug = shop_plugin:plug\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    async with probe(make_app(Shipping("sea"), "17")) as probed:
        await probed.template.send(erp, ORDER)
        await probed.idle()
        (plug,) = plugins()
        assert [message.payload for message in probed.handled(plug)] == [ORDER]
