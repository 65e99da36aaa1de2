"""Functions that jobs of the tests name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def double(argument: bytes) -> bytes:
    return argument + argument


def threads(argument: bytes) -> bytes:
    return f"{os.environ.get('OMP_NUM_THREADS')} {os.environ.get('OMP_WAIT_POLICY')} {os.getpid()}".encode()


def gpus(argument: bytes) -> bytes:
    """The GPUs that its process is shown, and the process; a file of this name ends it first, once."""
    once = Path(argument.decode()) if argument else None
    if once is not None and not once.exists():
        once.write_text("seen")
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.getpid()}".encode()


def refuse(argument: bytes) -> bytes:
    raise ValueError("no such\nthing " + argument.decode())


def die(argument: bytes) -> bytes:
    """Kills its own process each time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def die_once(argument: bytes) -> bytes:
    """Kills its own process unless this file is there."""
    path = Path(argument.decode())
    if not path.exists():
        path.write_text("seen")
        os.kill(os.getpid(), signal.SIGKILL)
    return b"alive"


def leave(argument: bytes) -> bytes:
    os._exit(7)


def chatter(argument: bytes) -> bytes:
    sys.stdout.write("on stdout\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", "print('below')"], check=True)
    return b"said"


def linger(argument: bytes) -> bytes:
    """Writes its process id, then waits longer than any test does."""
    Path(argument.decode()).write_text(str(os.getpid()))
    time.sleep(600)
    return b""
