"""The AsyncAPI 3.0 document of the public topics, and the JSON Schema of each message, from the types that write them.

Source: AsyncAPI specification 3.0.0; Kafka bindings 0.5.0.
"""

from typing import Any

import msgspec

from adapters.kafka.topics import PUBLIC, VERSION, Kind

BINDINGS = "0.5.0"
_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 in binary mode, and what made the message. All ASCII.",
    "properties": {
        "content-type": {"const": "application/json"},
        "ce_specversion": {"const": "1.0"},
        "ce_id": _TEXT | {"description": "the same for the same message: drop doubles by it"},
        "ce_source": _TEXT | {"description": "/samewire/ and the name of the session"},
        "ce_time": _TEXT
        | {"format": "date-time", "description": "the instant it speaks of: end of the slice, or when it was said"},
        "run-id": _TEXT | {"description": "of the process; differs between two runs over the same inputs"},
        "code-version": _TEXT,
        "config-hash": _TEXT,
        "traceparent": _TEXT | {"description": "W3C trace context, where there is one"},
    },
    "required": ["content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"],
}
_PARAMETERS = {
    "env": "the environment: prod, shadow, dev",
    "interval": "of the bars: 1m, 1h, 1d",
    "source": "name of the model or strategy in the run file",
    "account": "name of the account",
    "session": "name of the session in the run file",
}
_READING = (
    "Read with isolation.level=read_committed: what is not committed may never have been decided. Offsets have gaps, "
    "since Kafka marks transactions with records of its own; count records, not offsets. A correction is a new message "
    "with a higher revision, never an edit. Instants in bodies are UTC nanoseconds and need 64-bit integers. Ignore "
    "fields that you do not know: version 1 may gain some, and anything else is a new topic."
)


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the messages of one kind of topic, standing alone."""
    schema = msgspec.json.schema(PUBLIC[kind].message)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def document(version: str) -> dict[str, Any]:
    """The AsyncAPI document, as a session sees its topics: it sends signals and receives bars."""
    messages = [kind.message for kind in PUBLIC.values()]
    _, schemas = msgspec.json.schema_components(messages, ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Samewire topics",
            "version": version,
            "description": f"The Kafka topics of a trading session. {_READING}",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, kind) for name, kind in PUBLIC.items()},
        "operations": {f"{kind.direction}-{name}": _operation(name, kind) for name, kind in PUBLIC.items()},
        "components": {
            "messages": {name: _message(name, kind) for name, kind in PUBLIC.items()},
            "schemas": schemas,
        },
    }


def _channel(name: str, kind: Kind) -> dict[str, Any]:
    return {
        "address": f"{{env}}.{name}.{{{kind.named_by}}}.v{VERSION}",
        "title": name,
        "description": f"A record is {kind.holds}. Its key is the {kind.key}.",
        "parameters": {key: {"description": _PARAMETERS[key]} for key in ("env", kind.named_by)},
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "partitions": kind.partitions,
                "replicas": 3,
                "topicConfiguration": {"cleanup.policy": [kind.cleanup], "retention.ms": kind.retention_ms},
                "bindingVersion": BINDINGS,
            }
        },
    }


def _operation(name: str, kind: Kind) -> dict[str, Any]:
    return {
        "action": kind.direction,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": f"{'Publishes' if kind.direction == 'send' else 'Takes'} {kind.holds}.",
        "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
    }


def _message(name: str, kind: Kind) -> dict[str, Any]:
    properties = {**_HEADERS["properties"], "ce_type": {"const": kind.ce_type}}
    if name == "signals":
        properties["model-hash"] = _TEXT | {"description": "of the artefact that said it"}
    return {
        "name": kind.ce_type,
        "title": kind.message.__name__,
        "contentType": "application/json",
        "headers": _HEADERS | {"properties": properties},
        "payload": {"$ref": _REF.format(name=kind.message.__name__)},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": kind.key}, "bindingVersion": BINDINGS},
        },
    }
