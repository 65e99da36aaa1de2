"""The forms in which a secret is found, and the ways out of a command that pass the hider."""

import base64
import html
import json
import re
import warnings
from pathlib import Path
from urllib.parse import quote, quote_plus, urlencode

import pytest

from engine.secret import HIDDEN
from samewire.hiding import Hider, hiding
from tests.samewire.test_secrets import MARK, command, project

__all__ = ["project"]  # the fixture

SECRETS = ("sw0rd fish/one+two", "sw0rd\"fish'\\<&>%ü€", "sw0rdüfish", "sw0rd~fish:one", "sw0rd=")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        str,
        repr,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: repr(f"'{text}\""),
        lambda text: repr(text.encode()),
        lambda text: repr(f"'{text}\"".encode()),
        quote,
        quote_plus,
        lambda text: quote(text, safe=""),
        lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
        lambda text: urlencode({"key": text}),
        html.escape,
        lambda text: html.escape(text, quote=False),
        lambda text: html.escape(text).replace("&#x27;", "&#39;"),
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
    ],
)
def test_it_is_found_in_every_form_that_is_promised(secret: str, form: object) -> None:
    hide = Hider()
    hide.add(secret)
    written = form(secret)  # type: ignore[operator]
    shown = hide(f"before {written} after")
    assert HIDDEN in shown
    assert written not in shown
    assert "sw0rd" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", ["", "u", "me", "you", "user:", "x:y:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_it_is_found_in_base64_wherever_it_stands_in_what_was_encoded(secret: str, before: str, encode: object) -> None:
    hide = Hider()
    hide.add(secret)
    written = encode(f"{before}{secret}{before}".encode()).decode()  # type: ignore[operator]
    shown = hide(f"Basic {written} x")
    assert HIDDEN in shown
    left = shown.removeprefix("Basic ").removesuffix(" x").split(HIDDEN)
    assert sum(map(len, left)) <= len(base64.b64encode(2 * before.encode())) + 6  # no more than two of its letters


def test_a_long_key_is_learnt_at_once() -> None:
    hide = Hider()
    hide.add("\n".join(f"{i:04}sw0rdfish" for i in range(4_000)))
    assert hide("x 0123sw0rdfish y") == f"x {HIDDEN} y"


def test_words_that_are_like_it_stay() -> None:
    hide = Hider()
    hide.add("sw0rdfish")
    text = "sw0rd fish, swordfish, 73773072 and c3cwcmQ stay"
    assert hide(text) == text


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_warning_of_python_is_shown_without_it(project: Path, form: str) -> None:
    done = command(project, "replay", "run.yaml", "--out", "out", "--set", "strategy.fail=warn", "--log-format", form)
    assert done.returncode == 0, done.stderr.decode()
    assert f"UserWarning: key {HIDDEN}".encode() in done.stderr
    assert MARK not in done.stdout + done.stderr


def test_a_warning_that_is_an_error_stays_one() -> None:
    with hiding() as hide:
        hide.add("sw0rdfish")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="plain"):
                warnings.warn("plain", stacklevel=1)


def test_a_warning_that_is_collected_is_collected_without_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with hiding() as hide:
            hide.add("sw0rdfish")
            warnings.warn("key sw0rdfish", RuntimeWarning, stacklevel=1)
    assert [(str(each.message), each.category) for each in caught] == [("key [hidden]", RuntimeWarning)]
