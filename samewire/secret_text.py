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
from engine.secret import HIDDEN, Secret
from samewire.hiding import hider

BYTES_MAX = 65_536  # of a file that holds a secret
LEAST = 6  # characters: anything shorter could not be hidden without hiding half of every text
_REFERENCE = re.compile(r"\$\{(env|file):([^{}\n]+)\}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What an option is called whose value must be a Secret: by its last word, so token_bucket and author are none.
NAMED_SECRET = re.compile(
    r"(?i)(?:^|[_.-]|(?-i:(?<=[a-z0-9])(?=[A-Z])))"
    r"(?:passw(?:or)?ds?|pwd|passphrases?|secrets?|tokens?|(?:api|access|private|secret)[_-]?keys?|credentials?"
    r"|auth|authorization|bearer)"
    r"(?:[_-]?(?:[0-9]{1,3}|old|new|live|paper|prod|test|main|backup|text|value))?$"
)
IN_ADDRESS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:([^\s/@]+)@")
# Within a text: `password=...` of a connection string or an address. A word is looked at once, from its beginning.
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_.-])([A-Za-z][A-Za-z0-9_.-]{0,63})[ ]{0,3}=[ ]{0,3}(?!\$\{|\[hidden\])"
    r"(\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)"
)
_SCHEMES = frozenset(("none", "basic", "digest", "bearer", "ntlm", "kerberos", "oauth", "oauth2", "mtls", "tls", "iam"))


def in_clear(text: str) -> list[str]:
    """The secrets that stand within a text: the password of an address, values with the name of a secret.

    >>> in_clear("host=h password=opensesame"), in_clear("https://h/x?token_bucket=opensesame&limit=5")
    (['opensesame'], [])
    """
    found = [match[1] for match in IN_ADDRESS.finditer(text)]
    if "=" not in text:
        return found
    assigned = ((match[1], match[2].strip("\"'")) for match in _ASSIGNED.finditer(text))
    return found + [value for name, value in assigned if value and NAMED_SECRET.search(name) and not plain_word(value)]


def plain_word(value: str) -> bool:
    """Whether a text is no secret whatever it is called: a number, a boolean, nothing, a kind of login, a reference."""
    if _REFERENCE.match(value) or value.lower() in ("", "~", "null", "true", "false", "yes", "no", *_SCHEMES):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


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


def holds_text(hint: Any) -> bool:
    """Whether a value of this type is a text or has one in it; a choice of given words is none."""
    return hint is str or any(holds_text(inner) for inner in get_args(hint))


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


def unread(value: Any) -> Any:
    """The value of an option with a secret that says nothing in place of each that it refers to."""
    if isinstance(value, SecretRef):
        return Secret(HIDDEN)
    if isinstance(value, list | tuple):
        return type(value)(map(unread, value))
    if isinstance(value, dict):
        return {key: unread(inner) for key, inner in value.items()}
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
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # bytes of the environment that are no text
        raise ConfigError(f"{said}: {shown}: it is no text in UTF-8; write the secret as text")
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
