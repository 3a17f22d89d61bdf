"""Signature Version 4 gives the signatures that AWS publishes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from gateway.aws.sigv4 import Credentials, Signer, canonical_request

PUBLISHED = yaml.safe_load((Path(__file__).parent / "cases" / "vendors" / "sigv4.yaml").read_text())
EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


@pytest.mark.parametrize("said", PUBLISHED["requests"], ids=lambda said: said["name"])
def test_a_published_signature(said):
    said = PUBLISHED | said
    url = f"https://{said['host']}{said['target']}"
    signer, body = Signer(EXAMPLE, "us-east-1", said["service"]), said.get("body", "").encode()
    added = signer.sign(said.get("method", "GET"), url, said.get("headers", {}), body, THEN)
    assert added["x-amz-date"] == "20150830T123600Z"
    assert added["authorization"].endswith(f"Signature={said['signature']}")


def test_what_is_quoted_in_the_path_is_quoted_once_more():
    request = canonical_request("POST", "https://h/model/a.b-v1%3A0/invoke", {"host": "h"}, "digest")
    assert request.splitlines()[1] == "/model/a.b-v1%253A0/invoke"


def test_a_port_is_part_of_the_host_unless_it_is_the_usual_one():
    def host(url):
        return Signer(EXAMPLE, "r", "s").sign("GET", url, {}, b"", THEN)["authorization"]

    assert host("https://h:443/") == host("https://h/") != host("https://h:8443/")


def test_no_secret_shows():
    credentials = Credentials("AKID", "hush-secret", "hush-token")
    assert "hush" not in repr(credentials)
    added = Signer(credentials, "r", "s").sign("GET", "https://h/", {}, b"", THEN)
    assert added["x-amz-security-token"] == "hush-token"
    assert "hush-secret" not in str(added)
