"""Questions to a server that speaks JSON over HTTP: one connection each, bounded in time and size, no redirects.

A secret goes to the server that the address names and to no other: redirects are refused, proxies of the environment
are not asked, and without TLS nothing leaves this machine.
"""

import http.client
import ipaddress
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from engine.clock import Clock, SystemClock
from engine.errors import SamewireError

ANSWER_MAX = 4 << 20  # bytes
_CHUNK = 1 << 16
_SAID_MAX = 200  # characters of an answer that are shown
_TOO_MANY = 429
_LOCKED = (401, 403)


class UnheardError(SamewireError):
    """A server did not take what it was told. `later`: it may do so another time; `all_of_it`: nothing else either."""

    def __init__(self, said: str, *, code: str = "", later: bool = False, all_of_it: bool = False) -> None:
        super().__init__(said)
        self.code, self.later, self.all_of_it = code, later, all_of_it or later


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is."""

    secure: bool
    host: str
    port: int | None
    path: str


def address_of(uri: str) -> Address:
    """The address that a text is. ValueError for one that is none, that sends secrets in clear, or holds one.

    >>> address_of("http://localhost:5000/").port, address_of("https://h.example/team").path
    (5000, '/team')
    >>> address_of("http://h.example:5000")
    Traceback (most recent call last):
    ValueError: uri must be https, or http of this machine (localhost, 127.0.0.1, [::1]), got http://h.example:5000
    """
    try:
        found = urlsplit(uri)
        port, host = found.port, found.hostname or ""
    except ValueError as error:
        raise ValueError(f"uri must be an address such as https://mlflow.example:5000 ({error}), got {uri}") from None
    if found.scheme not in ("http", "https") or not host or any(sign.isspace() for sign in uri):
        raise ValueError(f"uri must be an address such as https://mlflow.example:5000, got {uri}")
    if found.username or found.password or found.query or found.fragment:
        raise ValueError("uri must be an address alone; name and password are options of their own, got more than that")
    if found.scheme == "http" and not _here(host):
        raise ValueError(
            f"uri must be https, or http of this machine (localhost, 127.0.0.1, [::1]), got {_bare(found)}"
        )
    return Address(secure=found.scheme == "https", host=host, port=port, path=found.path.rstrip("/"))


def _bare(found: SplitResult) -> str:
    return f"{found.scheme}://{found.netloc}"


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ask(
    at: Address,
    question: tuple[str, str],
    body: bytes = b"",
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """The answer to `question`, a method and a path below the address. UnheardError where there is none."""
    method, path = question
    until = (clock := clock or SystemClock()).monotonic_ns() + round(timeout_s * 1e9)
    line = _line(at, timeout_s)
    said = {"Accept": "application/json", "Connection": "close"} | dict(headers)
    try:
        line.request(
            method, at.path + path, body or None, said | ({"Content-Type": "application/json"} if body else {})
        )
        answer = line.getresponse()
        content = _read(line, answer, clock, until)
    except (OSError, http.client.HTTPException) as error:
        raise UnheardError(_why(error, timeout_s), later=not isinstance(error, ssl.SSLCertVerificationError)) from error
    finally:
        line.close()
    return _understood(answer, content)


def _line(at: Address, timeout_s: float) -> http.client.HTTPConnection:
    if at.secure:
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(at.host, at.port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(at.host, at.port, timeout=timeout_s)


def _read(line: http.client.HTTPConnection, answer: http.client.HTTPResponse, clock: Clock, until: int) -> bytes:
    """The body: one that comes byte by byte has no more time than any other."""
    parts, size = [], 0
    while part := answer.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > ANSWER_MAX:
            raise http.client.HTTPException(f"an answer of more than {ANSWER_MAX >> 20} MB")
        left = until - clock.monotonic_ns()
        if left <= 0:
            raise TimeoutError
        if line.sock is not None:
            line.sock.settimeout(left / 1e9)
    return b"".join(parts)


def _why(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _understood(answer: http.client.HTTPResponse, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        found = None
    status = answer.status
    if status == http.HTTPStatus.OK:
        if not isinstance(found, dict):
            raise UnheardError("its answer is no JSON; is that the address of the server's API?", all_of_it=True)
        return found
    told = found if isinstance(found, dict) else {}
    code, message = str(told.get("error_code", "")), " ".join(str(told.get("message", "")).split())[:_SAID_MAX]
    said = f"it answers {status} {answer.reason}" + (f": {message}" if message else "")
    if status in _LOCKED:
        raise UnheardError(f"{said}; look at token, or user and password", code=code, all_of_it=True)
    if http.HTTPStatus.MULTIPLE_CHOICES <= status < http.HTTPStatus.BAD_REQUEST:
        raise UnheardError(f"{said}, and no redirect is followed; name the place itself", code=code, all_of_it=True)
    raise UnheardError(said, code=code, later=status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status == _TOO_MANY)
