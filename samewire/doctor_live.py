"""What stands in the way of a live session of a run file: its connection to Kafka, and everything it would refuse."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator

import msgspec

from adapters.kafka.admin import describe
from adapters.kafka.checks import missing, of_cluster, of_connection
from engine.errors import SamewireError
from samewire.closest import listed
from samewire.connection import settings_of, start_of
from samewire.doctor import KAFKA, Finding
from samewire.prepare import feed_of
from samewire.run_file import RunFile


def connection(run: RunFile) -> Iterator[Finding]:
    """How the connection is, then one finding for each thing that is wrong with it, the cluster or a topic.

    A broker is not spoken to over a connection that a session would refuse.
    """
    if importlib.util.find_spec("aiokafka") is None:
        mend = f"{sys.executable} -m pip install 'samewire[kafka]'"
        yield _wrong("kafka", "the run file has a section live, and Kafka's client is not installed", mend)
        return
    try:
        settings = settings_of(run)
        start = start_of(run, feed_of(run), settings)
        unsafe = tuple(of_connection(settings, start))
        yield from (_split("kafka", said) for said in unsafe)
        if unsafe:
            return
        cluster = asyncio.run(describe(settings, [each.topic for each in start.wanted]))
    except SamewireError as error:
        yield _split("kafka", str(error))
        return
    address = settings.where()
    brokers = "1 broker" if cluster.brokers == 1 else f"{cluster.brokers} brokers"
    how = f"{settings.security}{f', {settings.mechanism}' if settings.security.startswith('sasl') else ''}"
    said = f"cluster {cluster.id} at {address.address} ({how}), {brokers} (named by {address.origin})"
    yield Finding(what="kafka", state="ok", said=said)
    lacks = missing(start.wanted, cluster)
    if lacks:
        yield _wrong("topics", f"{len(lacks)} are missing: {listed([each.topic for each in lacks])}", start.create)
    there = tuple(each for each in start.wanted if each not in lacks)
    wrong = tuple(of_cluster(settings, msgspec.structs.replace(start, wanted=there), cluster))
    yield from (_split("topics", said) for said in wrong)
    if not wrong and not lacks:
        yield Finding(what="topics", state="ok", said=f"all {len(start.wanted)} are there and as they must be")


def _split(what: str, said: str) -> Finding:
    """A problem that ends with the next step after a semicolon."""
    told, _, mend = said.rpartition("; ")
    return _wrong(what, told or said, mend if told else "")


def _wrong(what: str, said: str, mend: str) -> Finding:
    return Finding(what=what, state="wrong", said=said, mend=mend, exit_code=KAFKA)
