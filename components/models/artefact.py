"""Trained models as folders of plain files, named by their content. Never a pickle."""

import contextlib
import hashlib
import os
import shutil
from itertools import count
from pathlib import Path

import msgspec

from engine.errors import StateError, writing
from engine.protocols import Artefact

_MANIFEST = "MANIFEST.json"


class _Manifest(msgspec.Struct, frozen=True):
    """What a folder must hold: SHA-256 by file name, and the hash of all."""

    hash: str
    files: dict[str, str]


def artefact_of(files: dict[str, bytes]) -> Artefact:
    """The artefact of these files; its hash covers names and contents, not their order.

    >>> artefact_of({"a": b"1", "b": b"2"}).hash == artefact_of({"b": b"2", "a": b"1"}).hash
    True
    >>> artefact_of({"a": b"12"}).hash == artefact_of({"a1": b"2"}).hash
    False
    """
    if not files:
        raise ValueError("an artefact must hold at least one file, got none")
    for name in files:
        if not _plain(name):
            raise ValueError(f"artefact: {name!r} cannot be a file's name; use a plain name other than {_MANIFEST}")
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{len(name.encode())}:{name}:{len(files[name])}:".encode())
        whole.update(files[name])
    return Artefact(hash=whole.hexdigest(), files=dict(files))


def _plain(name: str) -> bool:
    """Whether it can only be the name of a file within the folder."""
    return name not in (_MANIFEST, ".", "..", "") and not any(sign in name for sign in "/\\\0")


def checked(artefact: Artefact) -> Artefact:
    """The artefact itself, once its hash is seen to be that of its files."""
    found = artefact_of(artefact.files).hash
    if found != artefact.hash:
        raise StateError(f"artefact {artefact.hash[:12]}: its files hash to {found[:12]}; fetch or train it again")
    return artefact


def write_artefact(artefact: Artefact, folder: Path) -> None:
    """Writes a folder whole or not at all. Writing the same artefact again changes nothing.

    StateError where it cannot be written.
    """
    checked(artefact)
    with writing(folder):
        _write_folder(artefact, folder)


def restore_artefact(artefact: Artefact, folder: Path) -> None:
    """As `write_artefact`, where the folder is named by the hash: whatever stands there and is not it was damaged.

    That is moved aside, to `.NAME.damaged.N`, and not deleted: nobody has looked at it yet.
    """
    checked(artefact)
    with writing(folder):
        if folder.exists() and not _is(artefact, folder):
            aside = next(path for k in count() if not (path := folder.parent / f".{folder.name}.damaged.{k}").exists())
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                folder.rename(aside)
        _write_folder(artefact, folder)


def _is(artefact: Artefact, folder: Path) -> bool:
    try:
        return read_artefact(folder).hash == artefact.hash
    except (OSError, StateError):
        return False


def _write_folder(artefact: Artefact, folder: Path) -> None:
    if folder.exists():
        return _check_same(artefact, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = _made_beside(folder, artefact.hash)
    try:
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in artefact.files.items()}
        manifest = msgspec.json.encode(_Manifest(hash=artefact.hash, files=digests), order="sorted")
        for name, content in (*artefact.files.items(), (_MANIFEST, manifest)):
            _write(making / name, content)
        _sync_folder(making)
        _renamed(making, folder)
        _sync_folder(folder.parent)
    except FileExistsError:  # somebody else was faster
        shutil.rmtree(making, ignore_errors=True)
        _check_same(artefact, folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _renamed(making: Path, folder: Path) -> None:
    try:
        making.rename(folder)
    except OSError as error:  # systems differ in what they call a folder that is there and not empty
        if folder.is_dir():
            raise FileExistsError(str(folder)) from error
        raise


def _check_same(artefact: Artefact, folder: Path) -> None:
    found = read_artefact(folder).hash
    if found != artefact.hash:
        raise StateError(f"{folder}: it holds artefact {found[:12]}, not {artefact.hash[:12]}; name another folder")


def _made_beside(folder: Path, name: str) -> Path:
    """A new hidden folder. A process that was killed may have left one, and numbers of processes come again."""
    for k in count():
        making = folder.parent / f".{folder.name}.{name[:12]}.{os.getpid()}.{k}"
        try:
            making.mkdir()
        except FileExistsError:
            continue
        return making
    raise AssertionError  # numbers do not end


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_artefact(folder: Path) -> Artefact:
    """The artefact of a folder. StateError when it is not file by file and byte by byte what was written."""
    try:
        if not (folder / _MANIFEST).is_file() or (folder / _MANIFEST).is_symlink():
            raise StateError(
                f"{folder}: no artefact can be read (no file {_MANIFEST}); name a folder that training wrote"
            )
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise StateError(f"{folder}: no artefact can be read ({error}); name a folder that training wrote") from error
    more = sorted({path.name for path in folder.iterdir()} - {*manifest.files, _MANIFEST})
    if more:
        raise StateError(f"{folder}: it holds {more[0]}, which its {_MANIFEST} does not name; copy or train it again")
    if not manifest.files:
        raise StateError(f"{folder}: its {_MANIFEST} names no file; copy or train it again")
    files = {name: _content(folder, name, digest) for name, digest in manifest.files.items()}
    return checked(Artefact(hash=manifest.hash, files=files))


def _content(folder: Path, name: str, digest: str) -> bytes:
    if not _plain(name):
        raise StateError(f"{folder}: its {_MANIFEST} names the file {name!r} outside the folder; do not use it")
    if (folder / name).is_symlink():
        raise StateError(f"{folder}: its file {name} is a link; copy the file itself into the folder")
    if (folder / name).exists() and not (folder / name).is_file():  # a pipe would be waited for
        raise StateError(f"{folder}: its {name} is no file; copy or train it again")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise StateError(f"{folder}: its file {name} cannot be read ({error}); copy or train it again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise StateError(f"{folder}: {name} is not the file that was written; copy or train it again")
    return content
