import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main

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
FORM = ("benchmark", "unit", "results", "runs")


def printed(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
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


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_a_number_of_messages_that_makes_no_sense_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["memory", f"--messages={wrong}"])
    assert f"--messages: {wrong!r} is no number of at least 1" in capsys.readouterr().err
