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
WHAT = ("publish", "publish_pipelined", "consume")
ON_RABBITMQ = {f"{who}.{what}" for who in ("msgkit", "aio_pika", "faststream") for what in WHAT}
ON_KAFKA = {
    *(f"{who}.{what}" for who in ("msgkit", "aiokafka", "faststream", "confluent") for what in WHAT),
    "faststream.consume_at_most_once",
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


def assert_compares(report: dict[str, Any], benchmark: str, kinds: set[str], *, rounds: int) -> None:
    assert (report["benchmark"], report["unit"]) == (benchmark, "messages/s")
    cpu, ratios = report["also"][:2]
    assert (cpu["benchmark"], cpu["unit"]) == ("cpu_us", "us/message")
    assert (ratios["benchmark"], ratios["unit"]) == ("ratios", "msgkit/other")
    for figures, measured in (
        (report, kinds),
        (cpu, kinds),
        (ratios, {kind for kind in kinds if not kind.startswith("msgkit.")}),
    ):
        assert set(figures["results"]) == measured
        assert [set(each) for each in figures["runs"]] == [measured] * rounds
        assert all(figure > 0 for each in figures["runs"] for figure in each.values())


def compared_on(broker: str, *, rounds: int, within: float) -> dict[str, Any]:
    report = reported(broker, broker, "--messages", "20", "--rounds", str(rounds), within=within)
    assert tuple(report) == (*FORM, "also")
    return report


def alone_on(broker: str, what: str, number: int) -> dict[str, Any]:
    report = reported(broker, what, "--on", broker, "--messages", str(number), within=180)
    assert tuple(report) == FORM
    assert report["benchmark"] == what
    return report


def reported(broker: str, *arguments: str, within: float) -> dict[str, Any]:
    ran = run(*arguments, "--json", within=within)
    if ran.stderr.startswith("no ") and " can be had here" in ran.stderr:
        unavailable(broker, Unavailable(ran.stderr))
    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    report: dict[str, Any] = json.loads(line)
    return report


def test_what_a_message_costs_is_measured_side_by_side_in_one_run() -> None:
    (report,) = measured("overhead", "--messages", "20", "--rounds", "2")
    assert_measures_a_message(report, rounds=2)


def test_memory_is_looked_at_ten_times() -> None:
    (report,) = measured("memory", "--messages", "200")
    assert_measures_memory(report)


@pytest.mark.broker
@pytest.mark.xdist_group("rabbitmq-benchmark")
@pytest.mark.parametrize("what", ["memory", "reconnects"])
def test_what_a_service_holds_on_rabbitmq_is_looked_at_ten_times(what: str) -> None:
    report = alone_on("rabbitmq", what, 10)
    assert [run[next(iter(run))] for run in report["runs"]] == [1.0 * n for n in range(1, 11)]


@pytest.mark.broker
@pytest.mark.xdist_group("kafka-benchmark")
def test_what_a_service_holds_on_kafka_is_looked_at_ten_times() -> None:
    assert len(alone_on("kafka", "memory", 20)["runs"]) == 10


def test_starting_is_measured_in_processes_of_their_own() -> None:
    (report,) = measured("startup", "--rounds", "1")
    assert_measures_starting(report, rounds=1)


def test_all_of_it_is_one_object_a_line() -> None:
    memory, overhead = measured("all", "--messages", "200", "--rounds", "1")
    assert_measures_a_message(overhead, rounds=1)
    assert_measures_memory(memory)


def test_what_somebody_tells_java_for_himself_does_not_make_measured_brokers_slow() -> None:
    program = "import os; from benchmarks.__main__ import main; main(['memory', '--messages=10']); print(os.environ)"
    environment = {**os.environ, "_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert "'_JAVA_OPTIONS': '-XX:TieredStopAtLevel=4'" in ran.stdout


def test_a_person_gets_a_table() -> None:
    title, _, heads, *rows = printed("memory", "--messages", "10_000").splitlines()
    assert title == "memory, bytes/message"
    assert heads.split() == ["messages", "rss_kib", "blocks", "us_a_message"]
    assert [row.split()[0] for row in rows[:10]] == [f"{n},000" for n in range(1, 11)]


@pytest.mark.broker
@pytest.mark.xdist_group("rabbitmq-benchmark")
def test_clients_of_rabbitmq_are_measured_side_by_side_in_one_run() -> None:
    assert_compares(compared_on("rabbitmq", rounds=2, within=180), "rabbitmq", ON_RABBITMQ, rounds=2)


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.xdist_group("kafka-benchmark")
def test_clients_of_kafka_are_measured_side_by_side_on_one_partition_and_on_eight() -> None:
    one = compared_on("kafka", rounds=1, within=300)
    assert_compares(one, "kafka", ON_KAFKA, rounds=1)
    assert_compares(one["also"][2], "eight_partitions", ON_KAFKA, rounds=1)


def test_a_rabbitmq_that_is_named_and_not_there_is_told_of_without_its_password() -> None:
    ran = run("rabbitmq", MSGKIT_BENCH_RABBITMQ_URL="amqp://guest:sesame@127.0.0.1:1")
    assert ran.returncode == 1
    assert ran.stderr.startswith("RabbitMQ cannot be reached: ")
    assert "sesame" not in ran.stderr


def test_a_kafka_that_is_named_and_not_there_is_told_of() -> None:
    ran = run("kafka", MSGKIT_BENCH_KAFKA_URL="kafka://127.0.0.1:1")
    assert ran.returncode == 1
    assert ran.stderr.startswith("Kafka cannot be reached: ")


def test_a_kafka_that_asks_for_a_password_is_refused_without_quoting_it() -> None:
    ran = run("kafka", MSGKIT_BENCH_KAFKA_URL="kafka://guest:sesame@127.0.0.1:1")
    assert ran.returncode == 1
    assert ran.stderr.startswith("MSGKIT_BENCH_KAFKA_URL: it is kafka://host:port,host:port")
    assert "sesame" not in ran.stderr


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_number_of_messages_that_makes_no_sense_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["memory", f"--messages={wrong}"])
    assert f"--messages: {wrong!r} is no number of at least 1" in capsys.readouterr().err
