"""The commands of a page that grant rights, done on a real broker without Kafka's own tools."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from aiokafka.protocol.admin import CreateAclsRequest

PAGE = Path(__file__).parents[3] / "docs" / "kafka-connection.md"
_RESOURCES = {"--topic": 2, "--transactional-id": 5}
_OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
_PATTERNS = {"literal": 3, "prefixed": 4}
_ALLOW = 3
Grant = tuple[int, str, int, str, str, int, int]


def granted(folder: Path, **names: str) -> list[Grant]:
    """What the page's commands grant, run by a shell with `names` and a tool that only writes down how it is called."""
    (text,) = [block for block in re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.M | re.S) if "acl()" in block]
    tool = folder / "kafka-acls.sh"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    tool.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **names}
    done = subprocess.run(["sh", "-eu", "-c", text], env=environment, capture_output=True, text=True, check=True)
    return [grant for line in done.stdout.splitlines() for grant in _grants(shlex.split(line))]


def _grants(words: list[str]) -> list[Grant]:
    said = list(zip(words, [*words[1:], ""], strict=True))
    pattern = dict(said).get("--resource-pattern-type", "literal")
    (user,) = [value for key, value in said if key == "--allow-principal"]
    ((kind, name),) = [(key, value) for key, value in said if key in _RESOURCES]
    operations = [_OPERATIONS[value] for key, value in said if key == "--operation"]
    return [(_RESOURCES[kind], name, _PATTERNS[pattern], user, "*", each, _ALLOW) for each in operations]


async def grant(admin: Any, grants: list[Grant]) -> None:
    for each in grants:
        answer = await admin._send_request(CreateAclsRequest(*each))
        assert answer.creation_responses == [(0, None)] or answer.creation_responses[0][0] == 0, answer
