"""Secrets that stand in a run file in clear, and run files that are made to be slow: told briefly, shown never."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.secret import HIDDEN, Secret
from samewire import load_run
from samewire.diagnostics import SHOWN_MAX, RunFileErrors
from samewire.secret_text import NAMED_SECRET, in_clear

TOLD = "sw0rdfish-77"


class Reaching:
    """A sink that talks to somewhere, with options of every kind that a secret could be written into."""

    def __init__(
        self,
        *,
        url: str = "",
        dsn: str = "",
        headers: dict[str, str] | None = None,
        more: dict[str, list[str]] | None = None,
        password: Secret | None = None,
        private_key: Path | None = None,
        names: list[str] | None = None,
        max_tokens: int = 5,
    ) -> None:
        self.given = url, dsn, headers

    async def write(self, event: Any, /) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


def reaching(**options: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "session": {"name": "reaching", "cash": 1_000_000},
        "feed": {"use": "tests.samewire.own:Walk"},
        "models": [{"use": "momentum", "window": 5}],
        "strategy": "sign",
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
        "sinks": [{"use": "tests.samewire.test_written_out:Reaching"} | options],
    }


def loaded(folder: Path, said: dict[str, Any]) -> None:
    (folder / "run.yaml").write_text(json.dumps(said))
    load_run(folder / "run.yaml")


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"https://h/x?api_key={TOLD}"},
        {"url": f"https://h/x?limit=5&access_token={TOLD}&x=1"},
        {"url": f"https://me:{TOLD}@h/x"},
        {"dsn": f"host=h password={TOLD}"},
        {"dsn": f"host=h;Pwd = '{TOLD} and more'"},
        {"headers": {"token": TOLD}},
        {"headers": {"Authorization": f"Bearer {TOLD}"}},
        {"headers": {"X-Api-Key": TOLD}},
        {"headers": {"accessToken": TOLD}},
        {"headers": {"pwd": TOLD}},
        {"headers": {"auth": TOLD}},
        {"headers": {"bearer": TOLD}},
        {"more": {"tokens": ["5", TOLD]}},
        {"password": TOLD},
    ],
)
def test_a_secret_in_a_text_is_refused_once_and_not_shown(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(RunFileErrors) as caught:
        loaded(tmp_path, reaching(**options))
    assert [problem.code for problem in caught.value.problems] == ["E115"]
    assert TOLD not in f"{caught.value} {caught.value.as_json()} {caught.value.problems!r}"
    assert "${env:NAME}" in str(caught.value)
    assert caught.value.problems[0].path.startswith(f"sinks[0].{next(iter(options))}")


@pytest.mark.parametrize("key", ["tokens", "pwd", "auth", "bearer", "authorization", "client_secret_2"])
@pytest.mark.parametrize("value", [TOLD, [TOLD]])
def test_one_under_a_key_that_nobody_knows_is_not_shown_either(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(RunFileErrors, match=r"E104.*unknown key") as caught:
        loaded(tmp_path, reaching(**{key: value}))
    assert TOLD not in f"{caught.value} {caught.value.as_json()}"
    (tmp_path / "run.yaml").write_text(f"schema: 1\nsinks: [{{{key}: {json.dumps(value)}: x\n")
    with pytest.raises(RunFileErrors, match="E101") as caught:
        load_run(tmp_path / "run.yaml")
    assert TOLD not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "https://h/x?token_bucket=steady&author=jane&authority=high&key=value"},
        {"url": "https://h/x?token=${env:TOKEN}"},
        {"url": "https://h/x?max_tokens=500"},
        {"dsn": "host=h secretary=jane password=${env:DSN_PASSWORD}"},
        {
            "headers": {
                "author": "jane doe",
                "authority": "example.org",
                "secretary": "joe bloggs",
                "tokenizer": "words",
            }
        },
        {"headers": {"token_bucket": "steady-rate", "password_file": "keys/one.txt", "secret_name": "prod/broker"}},
        {"headers": {"token": "${env:TOKEN}", "Authorization": "${file:keys/auth.txt}", "auth": "basic"}},
        {"headers": {"token": "12", "auth": "true", "secret": "no", "password": ""}},
        {"more": {"tokens": ["${env:ONE}", "${env:TWO}"], "authors": ["jane doe"]}},
        {"password": "${env:PASSWORD}", "private_key": "keys/gateway.pem"},
        {"names": ["token", "password", "bearer of news"]},
        {"max_tokens": 5},
    ],
)
def test_what_only_sounds_like_one_passes(tmp_path: Path, options: dict[str, Any]) -> None:
    loaded(tmp_path, reaching(**options))


def test_a_name_is_that_of_a_secret_by_its_last_word() -> None:
    named = ("token", "tokens", "api_key", "apikey", "API-KEY", "x.api.key_secret", "accessToken", "password2", "pwd")
    named += ("token_live", "gateway-password", "PGPASSWORD_OLD", "db_pwd", "auth", "proxy-authorization", "bearer")
    innocent = ("token_bucket", "author", "authority", "authors", "secretary", "tokenizer", "key", "keys", "bearers")
    innocent += ("password_length", "oauth_scope", "pwdx", "xpwd", "forbearer", "broken", "betoken", "monkey")
    assert [name for name in named if not NAMED_SECRET.search(name)] == ["PGPASSWORD_OLD"]
    assert [name for name in innocent if NAMED_SECRET.search(name)] == []


def test_what_is_hidden_already_is_no_secret() -> None:
    assert in_clear(f"https://h/x?token={HIDDEN}") == []


# ---- how much is said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("many unknown keys", reaching() | {f"key{i}": 1 for i in range(5_000)}),
        ("many unknown options", reaching(**{f"option{i}": 1 for i in range(5_000)})),
        ("many secrets", reaching(**{f"token{i % 999}_{i}_token": f"{TOLD}-{i}" for i in range(5_000)})),
        ("a long number", reaching() | {"session": {"name": "x", "cash": "1" * 200_000}}),
        ("a long name", reaching() | {"session": {"name": "x y" * 300_000, "cash": 1}}),
        ("a long key", reaching() | {"k" * 900_000: 1}),
        ("a long component", reaching() | {"optimizer": "o" * 900_000}),
        ("a long class", reaching() | {"optimizer": "a.b:" + "o" * 900_000}),
        ("a long choice", reaching() | {"broker": {"use": "simulated", "fill": "f" * 900_000}}),
        ("a long secret", reaching(password="p" * 900_000)),
        (
            "many sets",
            reaching() | {"models": [{"use": "momentum", "name": f"m{i}", "features": "n"} for i in range(900)]},
        ),
    ],
)
def test_a_run_file_within_its_limits_is_told_of_soon_and_briefly(
    name: str, said: dict[str, Any], tmp_path: Path
) -> None:
    begun = time.process_time()
    with pytest.raises(RunFileErrors) as caught:
        loaded(tmp_path, said)
    assert time.process_time() - begun < 10, name
    assert len(str(caught.value)) < 200_000
    assert len(json.dumps(caught.value.as_json())) < 200_000
    assert TOLD not in str(caught.value)


def test_a_text_that_is_no_yaml_is_not_repeated_at_length(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("!" * 900_000)
    with pytest.raises(RunFileErrors) as caught:
        load_run(tmp_path / "run.yaml")
    assert len(str(caught.value)) < 1_000


def test_all_problems_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    with pytest.raises(RunFileErrors) as caught:
        loaded(tmp_path, {f"key{i:04}": 1 for i in range(1_993)} | reaching())
    errors = caught.value
    assert str(errors).startswith("1993 problems in ")
    assert str(errors).endswith("\n\nand 1,893 more problems")
    assert [problem.path for problem in errors.problems] == [f"key{i:04}" for i in range(SHOWN_MAX)]
    assert (errors.as_json()["count"], len(errors.as_json()["problems"])) == (1_993, SHOWN_MAX)


def test_unknown_symbols_are_compared_with_few_names(tmp_path: Path) -> None:
    feed = {"use": "tests.samewire.own:Tickers", "path": ".", "close": "16:00"}
    said = reaching() | {"feed": feed | {"symbols": [f"SYMBOL{i}" for i in range(15_000)]}}
    said["risk"] = {"banned": [f"SYMBOL{i}X" for i in range(15_000)]}
    begun = time.process_time()
    with pytest.raises(RunFileErrors, match="15000 problems"):
        loaded(tmp_path, said)
    assert time.process_time() - begun < 20
