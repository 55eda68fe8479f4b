import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from msgkit.testing.brokers import Unavailable
from tests.brokers.requiring import unavailable

ROOT = Path(__file__).parent.parent
SIDES = {
    "msgkit",
    "faststream",
    "faststream_payload_only",
    "faststream_consume_only",
    "bare_json",
}
STARTS = {
    "asyncio_import",
    "msgkit_import",
    "pydantic_import",
    "faststream_import",
    "msgkit_first_message",
    "faststream_first_message",
}
KINDS = {
    f"{who}.{what}"
    for who in ("msgkit", "aio_pika", "faststream")
    for what in ("publish", "publish_pipelined", "consume")
}
FORM = ("benchmark", "unit", "results", "runs")


def run(*arguments: str, within: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=within,
    )


def printed(*arguments: str) -> str:
    ran = run(*arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def measured(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(*arguments, "--json").splitlines()]


def assert_measures_a_message(report: dict[str, Any], *, rounds: int) -> None:
    assert tuple(report) == (*FORM, "also")
    assert (report["benchmark"], report["unit"]) == ("overhead", "us/message")
    assert set(report["results"]) == SIDES
    assert [set(run) for run in report["runs"]] == [SIDES] * rounds
    assert all(time > 0 for run in report["runs"] for time in run.values())
    *others, startup = report["also"]
    assert {other["benchmark"]: other["unit"] for other in others} == {
        "calls": "calls/message",
        "allocations": "bytes/message",
    }
    for other in others:
        assert tuple(other) == FORM
        assert set(other["results"]) == SIDES
    assert_measures_starting(startup, rounds=rounds)


def assert_measures_starting(report: dict[str, Any], *, rounds: int) -> None:
    assert tuple(report) == FORM
    assert (report["benchmark"], report["unit"]) == ("startup", "ms")
    assert set(report["results"]) == STARTS
    assert [set(run) for run in report["runs"]] == [STARTS] * rounds
    assert all(time > 0 for run in report["runs"] for time in run.values())


def assert_measures_memory(report: dict[str, Any]) -> None:
    assert tuple(report) == FORM
    assert (report["benchmark"], report["unit"]) == ("memory", "bytes/message")
    assert set(report["results"]) == {"msgkit"}
    assert [run["messages"] for run in report["runs"]] == [20.0 * n for n in range(1, 11)]
    assert all(run["rss_kib"] > 0 and run["blocks"] > 0 for run in report["runs"])


def assert_measures_rabbitmq(report: dict[str, Any], *, rounds: int) -> None:
    assert tuple(report) == (*FORM, "also")
    assert (report["benchmark"], report["unit"]) == ("rabbitmq", "messages/s")
    cpu, ratios = report["also"]
    assert (cpu["benchmark"], cpu["unit"]) == ("cpu_us", "us/message")
    assert (ratios["benchmark"], ratios["unit"]) == ("ratios", "msgkit/other")
    for figures, kinds in (
        (report, KINDS),
        (cpu, KINDS),
        (ratios, {kind for kind in KINDS if not kind.startswith("msgkit.")}),
    ):
        assert set(figures["results"]) == kinds
        assert [set(each) for each in figures["runs"]] == [kinds] * rounds
        assert all(figure > 0 for each in figures["runs"] for figure in each.values())


def test_what_a_message_costs_is_measured_side_by_side_in_one_run() -> None:
    (report,) = measured("overhead", "--messages", "20", "--rounds", "2")
    assert_measures_a_message(report, rounds=2)


def test_memory_is_looked_at_ten_times() -> None:
    (report,) = measured("memory", "--messages", "200")
    assert_measures_memory(report)


def test_starting_is_measured_in_processes_of_their_own() -> None:
    (report,) = measured("startup", "--rounds", "1")
    assert_measures_starting(report, rounds=1)


def test_all_of_it_is_one_object_a_line() -> None:
    memory, overhead = measured("all", "--messages", "200", "--rounds", "1")
    assert_measures_a_message(overhead, rounds=1)
    assert_measures_memory(memory)


def test_a_person_gets_a_table() -> None:
    title, _, heads, *rows = printed("memory", "--messages", "10_000").splitlines()
    assert title == "memory, bytes/message"
    assert heads.split() == ["messages", "rss_kib", "blocks", "us_a_message"]
    assert [row.split()[0] for row in rows[:10]] == [f"{n},000" for n in range(1, 11)]


@pytest.mark.broker
@pytest.mark.xdist_group("rabbitmq-benchmark")
def test_clients_of_rabbitmq_are_measured_side_by_side_in_one_run() -> None:
    ran = run("rabbitmq", "--messages", "20", "--rounds", "2", "--json", within=180)
    if ran.stderr.startswith("no RabbitMQ can be had here"):
        unavailable("rabbitmq", Unavailable(ran.stderr))
    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    assert_measures_rabbitmq(json.loads(line), rounds=2)


def test_a_rabbitmq_that_is_named_and_not_there_is_told_of_without_its_password() -> None:
    ran = run("rabbitmq", MSGKIT_BENCH_RABBITMQ_URL="amqp://guest:sesame@127.0.0.1:1")
    assert ran.returncode == 1
    assert ran.stderr.startswith("RabbitMQ cannot be reached: ")
    assert "sesame" not in ran.stderr


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_number_of_messages_that_makes_no_sense_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["memory", f"--messages={wrong}"])
    assert f"--messages: {wrong!r} is no number of at least 1" in capsys.readouterr().err
