"""Channels that act as the machine may ask who that is; channels with a key may not."""

import json

import pytest

from gateway import outgoing
from gateway.config.origins import is_own, origin
from gateway.errors import ConfigError
from gateway.loading import load

METADATA = {"169.254.169.254:80", "169.254.170.2:80", "169.254.170.23:80", "metadata.google.internal:80"}
OPTIONS = {"bedrock": {"region": "eu-west-1"}, "azure": {"resource": "r"}, "vertex": {"project": "p"}}
OWN = {
    "bedrock": {"169.254.169.254:80", "169.254.170.2:80", "169.254.170.23:80", "sts.eu-west-1.amazonaws.com:443"},
    "azure": {"169.254.169.254:80", "login.microsoftonline.com:443"},
    "vertex": {"metadata.google.internal:80"},
}


@pytest.fixture(name="reached")
def _reached(write_config, monkeypatch):
    """reached(provider, **settings) -> {host:port: by which proxy} of a gateway with such a channel"""
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_STS",
                 "AZURE_POD_IDENTITY_AUTHORITY_HOST", "GCE_METADATA_HOST", "IDENTITY_ENDPOINT"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)

    def reached(provider, **settings):
        channel = {"name": "main", "provider": provider, "options": OPTIONS[provider], **settings}
        gateway = load(write_config(json.dumps({"channels": [channel]})))
        return {place.place: place.via for place in outgoing.destinations(gateway)}

    return reached


@pytest.mark.parametrize("provider", OWN)
def test_a_channel_without_a_key_may_ask_who_it_is(provider, reached):
    assert set(reached(provider)) >= OWN[provider]


@pytest.mark.parametrize("provider", OWN)
def test_a_channel_with_a_key_may_not(provider, reached):
    assert not METADATA & set(reached(provider, key="k"))


@pytest.mark.parametrize("provider", OWN)
def test_no_proxy_stands_between_a_machine_and_itself(provider, reached):
    found = reached(provider, proxy="http://proxy.test:3128")
    assert {found[place] for place in OWN[provider] & METADATA} == {""}
    assert {via for place, via in found.items() if place not in METADATA} == {"proxy.test:3128", ""}
    assert found["proxy.test:3128"] == ""


def test_the_environment_may_name_another_place(reached, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]")
    found = set(reached("bedrock"))
    assert "169.254.169.254:80" not in found
    assert {"[fd00:ec2::23]:80", "[fd00:ec2::254]:80"} <= found


def test_what_the_environment_names_has_to_be_an_address(reached, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "gopher://x")
    with pytest.raises(ConfigError, match="expected a host or an http"):
        reached("bedrock")


@pytest.mark.parametrize("address, own", [
    ("http://169.254.169.254/latest", True), ("http://127.0.0.1:9/x", True), ("http://[::1]/", True),
    ("http://localhost:42356/msi", True), ("http://metadata.google.internal/x", True), ("http://[fe80::1]/", True),
    ("http://[fd00:ec2::254]/", True), ("https://sts.amazonaws.com", False), ("http://10.0.0.1/", False),
    ("http://169.254.169.254.evil.test/", False), ("http://metadata.google.internal.evil.test/", False),
])  # fmt: skip
def test_what_is_the_machines_own(address, own):
    assert is_own(address) == own


def test_an_address_of_six_has_brackets():
    assert origin("http://[FD00:ec2::23]/v1") == "http://[fd00:ec2::23]:80"
