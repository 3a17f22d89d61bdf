"""What vendors' published API references show, played against a gateway with such a channel.

A case is a file in tests/cases/vendors/PROVIDER/:

    about, source       what it shows, and where the vendor says so
    options, key, ...   of the channel, beside its provider (models: all)
    ask                 {path, body, headers}: the client's request (POST; ``method`` may differ)
    fetched             requests that have to come before: [{url, method, headers, sends, gives}], ``sends``
                        being members of the form, ``gives`` the answer
    sent                {url, headers, without, body}: what has to arrive at the vendor; bodies are
                        compared as JSON, or as text if they are one
    answers             {status, type, headers, body} or {frames: [{HEADER: ..., payload: {...}}]}
    shows               {status, body, events, headers}: what the client gets
"""

import base64
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import yaml

from gateway import aws, sse

FOLDER = Path(__file__).parent.parent / "cases" / "vendors"
CASES = sorted(FOLDER.glob("*/*.yaml"))
CHANNEL = ("options", "key", "keys", "base_url", "headers", "strict", "auth")


def written(body):
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def frame(said):
    """A message of AWS's event stream; ``chunk: {...}`` is a payload as InvokeModel packs it."""
    said = dict(said)
    if "chunk" in said:
        packed = base64.b64encode(json.dumps(said.pop("chunk")).encode()).decode()
        said |= {":event-type": "chunk", "payload": {"bytes": packed, "p": "abcdef"}}
    payload = json.dumps(said.pop("payload")).encode()
    return aws.write_message({":content-type": "application/json", ":message-type": "event"} | said, payload)


def answer_of(said):
    headers = said.get("headers", {})
    if "frames" in said:
        body, kind = b"".join(map(frame, said["frames"])), aws.MEDIA_TYPE
    else:
        body, kind = written(said.get("body", {})), said.get("type", "application/json")
    return {"status": said.get("status", 200), "body": body, "content_type": kind, "headers": headers}


def assert_body(found, expected):
    if isinstance(expected, str):
        assert found == expected.encode()
    else:
        assert json.loads(found) == expected


def assert_request(request, said):
    for name, value in said.get("headers", {}).items():
        pattern = value[1:-1] if value.startswith("/") and value.endswith("/") else re.escape(value)
        assert re.fullmatch(pattern, request.headers.get(name, "")), (name, request.headers.get(name))
    assert not {name.lower() for name in said.get("without", ())} & {name.lower() for name in request.headers}
    if "body" in said:
        assert_body(request.body, said["body"])
    if "sends" in said:
        assert dict(parse_qsl(request.body.decode())).items() >= said["sends"].items()


def assert_shown(answer, said):
    assert answer.status_code == said.get("status", 200), answer.data
    for name, value in said.get("headers", {}).items():
        assert answer.headers.get(name) == value
    if "events" in said:
        found = [(event.name, event.data) for event in sse.events(answer.data)]
        expected = [event if isinstance(event, dict) else {"": event} for event in said["events"]]
        assert [name for name, _ in found] == [next(iter(event)) for event in expected]
        for (_, data), event in zip(found, expected, strict=True):
            assert_body(data, next(iter(event.values())))
    elif isinstance(said["body"], dict) and "error" in said["body"]:
        found = answer.json["error"]
        assert {name: found.get(name) for name in said["body"]["error"]} == said["body"]["error"]
    else:
        assert_body(answer.data, said["body"])


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_vendors_case(path, client_of, network):
    case = yaml.safe_load(path.read_text())
    channel = {"name": "main", "provider": path.parent.name} | {name: case[name] for name in CHANNEL if name in case}
    client = client_of(yaml.safe_dump({"channels": [channel]}))
    for fetched in case.get("fetched", ()):
        network.add(fetched.get("method", "POST"), fetched["url"], **answer_of({"body": fetched["gives"]}))
    sent, ask = case["sent"], case["ask"]
    method = ask.get("method", "POST")
    network.add(method, sent["url"], **answer_of(case["answers"]))
    headers = {"Content-Type": "application/json"} | ask.get("headers", {})
    body = None if method == "GET" else written(ask.get("body", {}))
    answer = client.open(ask["path"], method=method, data=body, headers=headers, buffered=True)
    requests = [call.request for call in network.calls]
    expected = [*case.get("fetched", ()), sent]
    assert [request.url for request in requests] == [each["url"] for each in expected], answer.data
    for request, said in zip(requests, expected, strict=True):
        assert_request(request, said)
    assert_shown(answer, case["shows"])
