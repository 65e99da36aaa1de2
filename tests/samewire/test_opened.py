"""What is opened beside the run file is seen, and nothing that belongs to the machinery."""

import socket
import sqlite3
from pathlib import Path

from samewire.opened import watching
from samewire.schema import load_run

ROOT = Path(__file__).parent.parent.parent


def test_data_files_and_hosts_that_no_option_names_are_told(tmp_path: Path) -> None:
    run_file = ROOT / "configs" / "scores.yaml"
    for name in ("mine.csv", "code.py", "later.csv"):
        (tmp_path / name).write_text("1")
    with watching() as opened:
        run = load_run(run_file)
        (ROOT / "configs" / "scores.csv").read_text()  # an option of the run file names it
        for name in ("mine.csv", "mine.csv", "code.py"):
            (tmp_path / name).read_text()
        sqlite3.connect(tmp_path / "mine.db").close()
        with socket.socket() as client:
            client.settimeout(0.1)
            client.connect_ex(("127.0.0.1", 9))
    (tmp_path / "later.csv").read_text()
    assert opened.unnamed(run_file, run) == (str(tmp_path / "mine.csv"), str(tmp_path / "mine.db"), "127.0.0.1:9")
