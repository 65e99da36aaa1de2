"""Secrets of run files: referred to in the file, read when the component is built, hidden in whatever is written.

password: ${env:BROKER_PASSWORD}        from the environment
password: ${file:/run/secrets/broker}   from a file: its text without the newline at the end
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
from pydantic import BeforeValidator, WithJsonSchema

from engine.errors import ConfigError
from engine.secret import Secret
from samewire.hiding import hider

BYTES_MAX = 65_536  # of a file that holds a secret
LEAST = 6  # characters: anything shorter could not be hidden without hiding half of every text
_REFERENCE = re.compile(r"\$\{(env|file):([^{}\n]+)\}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What an option is called whose value must be a Secret.
NAMED_SECRET = re.compile(
    r"(?:^|[_.-])(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|credentials?)"
    r"(?:$|[_.-])",
    re.I,
)
IN_ADDRESS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:([^\s/@]+)@")


class SecretRef(msgspec.Struct, frozen=True):
    """Where a secret is found; never the secret itself."""

    kind: str  # env or file
    name: str  # the variable, or the path as written
    path: Path | None = None  # of a file, absolute once the place of the run file is known

    def placed(self, place: Callable[[Path], Path]) -> "SecretRef":
        """With its path as seen from the run file."""
        return self if self.path is None else SecretRef(self.kind, self.name, place(self.path))

    def written(self, path_text: Callable[[Path], str]) -> str:
        """As a run file says it."""
        return f"${{{self.kind}:{self.name if self.path is None else path_text(self.path)}}}"


def referred(value: Any) -> Any:
    """The reference that a text is. Raises ValueError, without the text, for anything else.

    >>> referred("${env:BROKER_PASSWORD}")
    SecretRef(kind='env', name='BROKER_PASSWORD', path=None)
    """
    if isinstance(value, SecretRef):
        return value
    found = _REFERENCE.match(value) if isinstance(value, str) else None
    if found is None or (found[1] == "env" and not _VARIABLE.match(found[2])):
        raise ValueError("not a reference to a secret")
    return SecretRef(found[1], found[2], Path(found[2]) if found[1] == "file" else None)


SecretText = Annotated[
    SecretRef,
    BeforeValidator(referred),
    WithJsonSchema({"type": "string", "pattern": r"^\$\{(env|file):[^{}]+\}$", "description": "${env:NAME}"}),
]


def holds_secret(hint: Any) -> bool:
    """Whether a value of this type is a secret or has one in it."""
    return hint is Secret or any(holds_secret(inner) for inner in get_args(hint))


def revealed(value: Any, said: str) -> Any:
    """The value of an option with its secrets read. ConfigError, beginning with `said`, for one that is not there.

    From here on the current hider knows them.
    """
    if isinstance(value, SecretRef):
        text = _read(value, said)
        hider().add(text)
        return Secret(text)
    if isinstance(value, list | tuple):
        return type(value)(revealed(inner, said) for inner in value)
    if isinstance(value, dict):
        return {key: revealed(inner, said) for key, inner in value.items()}
    return value


def _read(ref: SecretRef, said: str) -> str:
    shown = ref.written(str)
    if ref.path is None:
        text = os.environ.get(ref.name, "")
        missing = f"the environment has no {ref.name}; set it before the start"
    else:
        text, missing = _of_file(ref.path, f"{said}: {shown}"), "the file is empty; write the secret into it"
    if not text:
        raise ConfigError(f"{said}: {shown}: {missing}")
    if len(text) < LEAST:
        raise ConfigError(
            f"{said}: {shown}: it has fewer than {LEAST} characters, too few to be hidden; take a longer one"
        )
    return text


def _of_file(path: Path, said: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"{said}: {error.strerror or 'it cannot be read'}; check the path and who may read it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{said}: it is no text in UTF-8; write the secret as text") from None
    if len(raw) > BYTES_MAX:
        raise ConfigError(f"{said}: it has more than {BYTES_MAX} bytes; a secret is shorter")
    return text
