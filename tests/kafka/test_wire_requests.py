"""What is asked of brokers: no more than is made use of, since whoever lacks one of them is refused."""

import re
from pathlib import Path

import msgkit_kafka

HOME = Path(msgkit_kafka.__file__).parent
#: The list of what a broker must know is no use of it.
LISTED = HOME / "wire" / "versions.py"


def test_no_broker_must_know_a_request_that_nobody_makes() -> None:
    texts = {path: path.read_text() for path in HOME.rglob("*.py") if path != LISTED}
    requests = {name for text in texts.values() for name in re.findall(r"^([A-Z_]+) = Api\(", text, re.MULTILINE)}
    asked = {name for text in texts.values() for name in re.findall(r"\bask\w*\(.*?\b([A-Z_]{5,})\b", text)}

    assert len(requests) > 20
    assert requests <= asked
