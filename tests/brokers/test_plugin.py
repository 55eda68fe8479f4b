import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers.scratch import SERVICE, STAND_IN, Scratch

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "how-to" / "integration-tests.md"
ASYNCIO = "pytestmark = pytest.mark.asyncio"
#: Warnings are errors, and pytest-asyncio has nothing to warn of.
QUIET = ("-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")
USAGE = 4
FAILED = 1


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


def printed() -> list[str]:
    """Return the Python blocks of the page."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


# -- what the page shows


def test_the_printed_test_passes_in_an_empty_folder(scratch: Scratch) -> None:
    scratch.write("test_shop.py", printed()[0])
    ran = scratch.run()
    assert ran.code == 0, ran.text
    assert set(ran.tests.values()) == {"passed"}
    assert len(ran.tests) == 3


def test_the_printed_test_is_repeated_on_a_real_broker_by_the_flag_alone(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("test_shop.py", printed()[0])
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq")
    assert ran.code == 0, ran.text
    assert {name.partition("[")[2] for name in ran.tests} == {"memory]", "rabbitmq]"}
    assert len(ran.tests) == 6


def test_all_that_the_page_prints_is_one_file_that_passes(scratch: Scratch) -> None:
    scratch.write("test_shop.py", *printed())
    ran = scratch.run("--msgkit-brokers=memory")
    assert ran.code == 0, ran.text
    assert ran.tests.pop("test_an_order_survives_its_broker[memory]") == "skipped"
    assert len(ran.tests) == 4
    assert set(ran.tests.values()) == {"passed"}


def test_what_the_page_prints_for_conftest_is_a_file_of_its_own(scratch: Scratch) -> None:
    fixtures = [block for block in printed() if "@pytest.fixture" in block]
    assert len(fixtures) == 2
    scratch.write("test_it.py", "def test_it(messaging_values): ...")
    for block in fixtures:
        scratch.write("conftest.py", block)
        ran = scratch.run()
        assert ran.code == 0, ran.text


# -- which brokers


def test_each_test_that_uses_a_broker_is_run_for_each_and_no_other_is(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write(
        "test_it.py",
        SERVICE,
        """
        def test_broker(broker):
            assert broker.url == {"memory": "memory://", "rabbitmq": "memory://stand-in"}[broker.name]


        def test_settings(messaging_settings): ...


        @pytest.mark.asyncio
        async def test_app(msgkit_app): ...


        @pytest.fixture(scope="module")
        def mine(broker):
            return broker


        def test_through_a_fixture_of_a_module(mine): ...


        def test_of_one_broker(rabbitmq):
            assert rabbitmq.name == "rabbitmq"


        def test_of_none(): ...
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq")
    assert ran.code == 0, ran.text
    repeated = ("test_broker", "test_settings", "test_app", "test_through_a_fixture_of_a_module")
    names = {f"{name}[{broker}]" for name in repeated for broker in ("memory", "rabbitmq")}
    assert set(ran.tests) == names | {"test_of_one_broker", "test_of_none"}
    assert scratch.read("life.txt").split() == ["started", "ended"]


def test_nothing_is_started_that_no_test_asks_for(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("test_it.py", SERVICE, "def test_of_memory(broker): ...\ndef test_of_none(): ...")
    assert scratch.run().code == 0
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq", "-k", "of_none or memory]")
    assert (ran.code, len(ran.tests)) == (0, 2), ran.text
    assert scratch.read("life.txt") == ""


def test_the_list_may_stand_in_the_settings_and_the_option_wins(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("pytest.ini", "[pytest]\nmsgkit_brokers = rabbitmq\n")
    scratch.write("test_it.py", "def test_it(broker): ...")
    assert list(scratch.run().tests) == ["test_it[rabbitmq]"]
    assert list(scratch.run("--msgkit-brokers=memory").tests) == ["test_it[memory]"]


def test_a_url_stands_for_itself_and_shows_no_password(scratch: Scratch) -> None:
    scratch.write(
        "test_it.py",
        SERVICE,
        ASYNCIO,
        """
        async def test_it(broker, messaging_settings, msgkit_app):
            assert messaging_settings.url == broker.url
            if broker.name == "memory":
                probed = await msgkit_app(app)
                await probed.template.send(jobs, 1)
                await probed.idle()
                assert len(probed.handled(work)) == 1
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory://mine, stone://me:geheim@host/v,stone://one:1,two:2")
    # Where no binding can talk to it, that is said before anything runs.
    assert ran.tests == {
        "test_it[memory://mine]": "passed",
        "test_it[stone://me:***@host/v]": "error",
        "test_it[stone://one:1,two:2]": "error",
    }
    assert "no binding serves 'stone://me:***@host/v'" in ran.text
    assert "geheim" not in ran.text


def test_what_a_binding_lacks_is_said_before_a_broker_is_started_for_it(scratch: Scratch) -> None:
    # None among the modules is what Python takes for one that is not installed.
    scratch.write(
        "conftest.py",
        STAND_IN,
        """
        async def started(self):
            lives("started")

        Kafka.__aenter__ = started
        sys.modules["aiokafka"] = None
        """,
    )
    scratch.write("test_it.py", SERVICE, ASYNCIO, "async def test_it(msgkit_app): ...")
    ran = scratch.run("--msgkit-brokers=kafka")
    assert ran.tests == {"test_it[kafka]": "error"}
    assert "pip install 'msgkit-messaging[kafka]'" in ran.text
    assert scratch.read("life.txt") == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (
            ["--msgkit-brokers=memory,rabitmq"],
            {},
            "there is no broker 'rabitmq'; known are memory, rabbitmq, kafka, rocketmq, and any URL",
        ),
        (["--msgkit-brokers="], {}, "there is no broker ''"),
        (
            [],
            {"MSGKIT_TEST_REQUIRE": "kafka,rabitmq"},
            "MSGKIT_TEST_REQUIRE names 'rabitmq'; it may name rabbitmq, kafka, rocketmq",
        ),
    ],
)
def test_names_that_are_not_known_are_refused(
    scratch: Scratch, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    scratch.write("test_it.py", "def test_it(): ...")
    ran = scratch.run(*arguments, **environment)
    assert ran.code == USAGE
    assert f"ERROR: {said}" in ran.text


# -- where there is none


def test_want_of_a_broker_skips_its_tests_and_says_aloud_how_to_get_it(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("test_it.py", "def test_it(broker): ...\ndef test_too(kafka): ...")
    for arguments in ((), ("-n", "1")):
        ran = scratch.run("--msgkit-brokers=memory,kafka", "-rs", *arguments)
        assert ran.code == 0, ran.text
        assert ran.tests == {"test_it[memory]": "passed", "test_it[kafka]": "skipped", "test_too": "skipped"}
        assert len(re.findall(r"^SKIPPED .*: no Kafka can be had here$", ran.text, re.MULTILINE)) == 2
        assert ran.text.count("tests were skipped for want of kafka") == 1
        assert ran.text.count("process: there is no Java: fetch one") == 1


def test_a_broker_that_is_required_makes_its_tests_fail(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("test_it.py", "def test_it(broker): ...")
    ran = scratch.run("--msgkit-brokers=memory,kafka", MSGKIT_TEST_REQUIRE="kafka,rabbitmq")
    assert (ran.code, ran.tests["test_it[kafka]"]) == (FAILED, "error")
    assert "process: there is no Java: fetch one\nand MSGKIT_TEST_REQUIRE requires it" in ran.text


def test_a_fixture_of_another_plugin_is_no_broker(scratch: Scratch) -> None:
    scratch.write("conftest.py", "import pytest\n@pytest.fixture(scope='session')\ndef rabbitmq():\n    return 5")
    scratch.write("test_it.py", "def test_it(broker): ...")
    ran = scratch.run("--msgkit-brokers=rabbitmq")
    assert "the fixture 'rabbitmq' is 5, and no broker: is it another plugin's?" in ran.text


def test_a_fixture_of_ones_own_takes_the_place_of_the_plugins(scratch: Scratch) -> None:
    scratch.write(
        "conftest.py",
        STAND_IN,
        """
        import pytest

        @pytest.fixture(scope="session")
        def rabbitmq():
            return RabbitMQ(version="3.10")
        """,
    )
    scratch.write("test_it.py", "def test_it(broker):\n    assert broker.options == {'version': '3.10'}")
    assert scratch.run("--msgkit-brokers=rabbitmq").code == 0


def test_fixtures_of_the_same_name_elsewhere_are_left_alone(scratch: Scratch) -> None:
    scratch.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture
        def broker():
            return 5

        def test_it(broker):
            assert broker == 5
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,kafka")
    assert (ran.code, list(ran.tests)) == (0, ["test_it"])


# -- services


def test_each_test_has_a_prefix_and_on_memory_a_broker_of_its_own(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write(
        "test_it.py",
        """
        import re
        import pytest

        seen = []

        @pytest.mark.parametrize("n", [1, 2])
        def test_it(n, broker, messaging_settings):
            assert re.fullmatch("t[0-9a-f]{10}-", messaging_settings.prefix)
            assert messaging_settings.prefix not in seen
            seen.append(messaging_settings.prefix)
            if broker.name == "memory":
                assert messaging_settings.url not in seen
                seen.append(messaging_settings.url)
            else:
                assert messaging_settings.url == broker.url
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq")
    assert (ran.code, len(ran.tests)) == (0, 4), ran.text


def test_values_of_ones_own_are_in_the_settings_and_the_environment_is_not(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write("msgkit.toml", "url = 'nowhere://'\n[queues.jobs]\nname = 'jobs.of.production'\n")
    scratch.write(
        "test_it.py",
        SERVICE,
        ASYNCIO,
        """
        @pytest.fixture
        def messaging_values():
            return {"queues": {"jobs": {"attempts": 1}}}

        async def test_it(msgkit_app, messaging_settings):
            assert messaging_settings.queue("jobs") == {"attempts": 1}
            probed = await msgkit_app(app)
            await probed.template.send(jobs, -1)
            await probed.idle()
            assert len(probed.dead(jobs)) == 1
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq", MSGKIT_NO_SUCH_SETTING="5")
    assert (ran.code, len(ran.tests)) == (0, 2), ran.text


@pytest.mark.parametrize(("mode", "marked"), [("strict", ASYNCIO), ("auto", "")])
def test_an_application_runs_on_the_loop_of_its_test_and_is_stopped_with_it(
    scratch: Scratch, mode: str, marked: str
) -> None:
    scratch.write(
        "test_it.py",
        SERVICE,
        marked,
        """
        async def test_that_fails(msgkit_app):
            probed = await msgkit_app(app)
            await probed.template.send(jobs, 1)
            await probed.idle()
            assert probed.handled(work) == []


        async def test_of_the_same_application(msgkit_app):
            assert (await app.health())["status"] == "stopped"
            probed = await msgkit_app(app)
            await probed.template.send(jobs, -1)
            await probed.advance(0.2)
            assert len(probed.dead(jobs)) == 1


        async def test_of_two(msgkit_app):
            await msgkit_app(app)
            await msgkit_app(Application([]))


        @pytest.mark.asyncio(loop_scope="module")
        async def test_on_another_loop(msgkit_app):
            probed = await msgkit_app(app)
            await probed.template.send(jobs, 1)
            await probed.idle()
        """,
    )
    scratch.write(
        "test_last.py",
        """
        import asyncio
        from test_it import app

        def test_it_is_stopped():
            assert asyncio.run(app.health())["status"] == "stopped"
        """,
    )
    ran = scratch.run(f"--asyncio-mode={mode}", *QUIET)
    assert ran.tests == {
        "test_that_fails[memory]": "failure",
        "test_of_the_same_application[memory]": "passed",
        "test_of_two[memory]": "passed",
        "test_on_another_loop[memory]": "passed",
        "test_it_is_stopped": "passed",
    }, ran.text


@pytest.mark.parametrize(
    ("setting", "argument"),
    [("asyncio_default_test_loop_scope = session", ""), ("", 'loop_scope="module"')],
)
def test_an_application_is_stopped_on_the_loop_that_it_ran_on(scratch: Scratch, setting: str, argument: str) -> None:
    scratch.write("pytest.ini", f"[pytest]\n{setting}\n")
    scratch.write(
        "test_it.py",
        SERVICE,
        f"""
        import asyncio

        begun, ended = asyncio.Event(), []


        @listener(jobs)
        async def hang(_: int) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)


        @pytest.mark.asyncio({argument})
        async def test_it(msgkit_app):
            probed = await msgkit_app(Application([hang]))
            await probed.template.send(jobs, 1)
            await begun.wait()


        def test_it_is_stopped():
            assert ended
        """,
    )
    ran = scratch.run(*QUIET)
    assert ran.tests == {"test_it[memory]": "passed", "test_it_is_stopped": "passed"}, ran.text


def test_where_pytest_asyncio_is_not_at_work_the_rest_goes_on(scratch: Scratch) -> None:
    scratch.write(
        "test_it.py",
        SERVICE,
        """
        import asyncio

        from msgkit.testing import probe


        async def order(settings):
            async with probe(app, settings) as probed:
                await probed.template.send(jobs, 1)
                await probed.idle()
                return len(probed.handled(work))


        def test_without_any(messaging_settings):
            assert asyncio.run(order(messaging_settings)) == 1


        @pytest.fixture
        def anyio_backend():
            return "asyncio"


        @pytest.mark.anyio
        async def test_of_anyio(messaging_settings):
            assert await order(messaging_settings) == 1


        def test_that_cannot_be(msgkit_app): ...
        """,
    )
    scratch.write("not_installed.py", "import sys\nsys.modules['pytest_asyncio'] = None")
    for arguments in ((), ("-p", "no:asyncio"), ("-p", "no:asyncio", "-p", "not_installed")):
        ran = scratch.run(*arguments)
        assert ran.tests.pop("test_that_cannot_be[memory]") == "error"
        assert set(ran.tests.values()) == {"passed"}, ran.text
        assert len(ran.tests) == 2
        said = "msgkit_app is for async tests that pytest-asyncio runs; anywhere else use: async with probe("
        assert said in ran.text


def test_each_worker_of_xdist_has_brokers_of_its_own(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write(
        "test_it.py",
        SERVICE,
        ASYNCIO,
        """
        @pytest.mark.parametrize("n", [1, 2])
        async def test_it(n, msgkit_app):
            probed = await msgkit_app(app)
            await probed.template.send(jobs, n)
            await probed.idle()
            assert len(probed.handled(work)) == 1
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,rabbitmq", "-n", "2", "--dist", "each")
    assert ran.code == 0, ran.text
    assert "8 passed" in ran.text
    assert sorted(scratch.read("life.txt").split()) == ["ended", "ended", "started", "started"]


# -- faults


def test_what_has_no_faults_says_so(scratch: Scratch) -> None:
    scratch.write(
        "test_it.py",
        """
        import pytest
        from msgkit.errors import UnsupportedCapability

        @pytest.mark.parametrize("fault", ["stop", "start", "kill", "pause", "resume", "proxy"])
        def test_it(broker, fault):
            assert not broker.nodes
            with pytest.raises(UnsupportedCapability, match=f"broker.{fault} is for brokers that the test run starts"):
                getattr(broker, fault)
            assert not hasattr(broker, "falut")
        """,
    )
    ran = scratch.run("--msgkit-brokers=memory,amqp://me:geheim@host/")
    assert ran.code == 0, ran.text


def test_a_test_that_fails_shows_its_brokers_log_and_leaves_a_broker_that_is_mended(scratch: Scratch) -> None:
    scratch.write("conftest.py", STAND_IN)
    scratch.write(
        "test_it.py",
        """
        import asyncio

        def test_before(messaging_settings): ...

        def test_that_kills(broker, rabbitmq):
            asyncio.run(broker.kill())
            raise ValueError("now what?")

        def test_after(rabbitmq): ...

        def test_later(messaging_settings): ...

        def test_elsewhere():
            raise ValueError("of no broker")
        """,
    )
    ran = scratch.run("--msgkit-brokers=rabbitmq")
    assert ran.text.count("- msgkit: rabbitmq log -") == 1
    assert "-- one\n… 61 lines …\nline 61\n" in ran.text
    assert "line 99" in ran.text
    assert scratch.read("life.txt").split() == ["started", "kill", "heal", "resume", "start", "ended"]


# -- what it costs those who do not use it


def modules_loaded(program: str) -> set[str]:
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return set(ran.stdout.split())


def test_loading_it_loads_no_broker_and_nothing_heavy() -> None:
    loaded = modules_loaded("import sys, msgkit.testing.plugin; print(*sys.modules)")
    heavy = {"docker", "msgkit.testing.brokers", "msgkit.testing.conformance", "msgkit_memory", "pydantic"}
    assert loaded.isdisjoint(heavy | {"pydantic_settings", "pytest_asyncio", "testcontainers"})


def test_it_needs_next_to_nothing_of_msgkit_itself() -> None:
    program = """
import sys
from types import ModuleType

for name, folder in (("msgkit", "msgkit"), ("msgkit.testing", "msgkit/testing")):
    sys.modules[name] = ModuleType(name)
    sys.modules[name].__path__ = [folder]
import pytest
before = set(sys.modules)
import msgkit.testing.plugin
print(*(set(sys.modules) - before))
"""
    assert modules_loaded(program) == {
        "msgkit.errors",
        "msgkit.testing.plugin",
        "msgkit.testing.session_brokers",
        "msgkit.testing.wanted",
    }
