"""Certificates for tests, made by openssl: an authority, and what it has signed."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    cert: Path
    key: Path


def authority(folder: Path, name: str = "ca") -> Pair:
    made = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    _run([*new, "-keyout", made.key, "-out", made.cert, "-days", "2", "-subj", f"/CN={name}"])
    return made


def signed(folder: Path, by: Pair, name: str, *, names: str = "DNS:localhost", password: str = "") -> Pair:
    """A certificate of this authority for what `names` says, with its key."""
    made, asked = Pair(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{name}.csr"
    locked = ["-passout", f"pass:{password}"] if password else ["-noenc"]
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *locked]
    _run([*new, "-keyout", made.key, "-out", asked, "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"])
    sign = ["openssl", "x509", "-req", "-in", asked, "-CA", by.cert, "-CAkey", by.key, "-CAcreateserial"]
    _run([*sign, "-out", made.cert, "-days", "2", "-copy_extensions", "copy"])
    made.key.chmod(0o600)
    return made


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
