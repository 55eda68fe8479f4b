import pytest

from msgkit.testing import probe
from tests.scenarios.first import app, greet, greetings, shouts, show


async def test_a_greeting_is_shouted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    async with probe(app) as probed:
        await probed.template.send(greetings, "world")
        await probed.idle()
        assert [message.payload for message in probed.sent(shouts)] == ["HELLO world"]
        assert [message.payload for message in probed.handled(greet)] == ["world"]
        assert [message.payload for message in probed.handled(show)] == ["HELLO world"]
    assert capsys.readouterr().out == "HELLO world\n"
