"""The process that brokers run under, where whoever started it is gone before it has answered."""

import json
import subprocess
import sys
from pathlib import Path

from msgkit.testing.brokers import keeper


def test_it_ends_in_silence_when_nobody_is_there_to_hear_its_answer() -> None:
    command = [sys.executable, "-P", str(Path(keeper.__file__)), "unheard"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        home = Path(json.loads(process.stdout.readline())["home"])
        assert home.is_dir()
        process.stdout.close()
        process.stdin.write(b'{"do": "look"}\n')
        process.stdin.flush()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
    assert not home.exists()
