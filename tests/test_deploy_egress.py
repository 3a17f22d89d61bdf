"""`gateway egress`: all that a configuration may reach and nothing else, in the words of each tool."""

import json

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from gateway import outgoing
from gateway.commands.egress import command
from gateway.loading import load

YAML = """
state: redis://:pw-CANARY@10.0.0.5:6380/0
store: postgresql+psycopg://u:pw-CANARY@127.0.0.7/gw
plugins: [{jwt: {issuer: "https://localhost:9443/realm", audience: [x]}}]
channels:
  - {name: a, provider: openai, key: sk-CANARY, base_url: "https://127.0.0.2"}
  - {name: b, provider: openai, key: sk-CANARY, base_url: "https://llm.corp", proxy: "http://u:pw-CANARY@127.0.0.3:3128"}
  - {name: c, provider: openai, key: sk-CANARY, base_url: "http://127.0.0.4:11434", fetch: any}
  - {name: d, provider: openai, key: sk-CANARY, base_url: "http://127.0.0.6", enabled: false}
  - {name: e, provider: openai, key: sk-CANARY, base_url: "https://127.0.0.2", fetch: [localhost]}
  - {name: echo, provider: echo}
"""
TAKING_ALL = """
from dataclasses import dataclass
from gateway import Secret, hookimpl, option

@dataclass(frozen=True, kw_only=True)
class Options:
    a: list[dict[str, str]] = option("a", [])
    c: Secret | None = option("c", None)
    d: Secret | None = option("d", None)
    e: int = option("e", 1)
    f: str = option("f", "https://usual.corp:8443/x")
    g: str = option("g", "https://replaced.corp")

class Plugin:
    def __init__(self, options):
        pass

    @hookimpl
    def after_call(self, call):
        pass
"""
PLACES = {
    "127.0.0.2:443": "channel a, channel e",
    "127.0.0.3:3128": "proxy of channel b",
    "127.0.0.4:11434": "channel c",
    "10.0.0.5:6380": "state",
    "127.0.0.7:5432": "store",
    "localhost:443": "media for channel e",
    "localhost:9443": "plugin jwt",
    "llm.corp:443": "channel b",
}


@pytest.fixture(name="path")
def _path(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture(name="places")
def _places(path):
    return outgoing.destinations(load(path))


def printed(path, form, *options):
    done = CliRunner().invoke(command, ["--config", str(path), "--format", form, *options])
    assert done.exit_code == 0, done.output
    assert "CANARY" not in done.output
    return done.stdout, done.stderr


def test_each_place_is_there_once_with_who_needs_it(places):
    assert {place.place: ", ".join(place.users) for place in places} == PLACES
    assert [place.via for place in places if place.host == "llm.corp"] == ["127.0.0.3:3128"]


def test_media_of_any_host_is_warned_of_where_it_may_be_fetched(path):
    shown, warned = printed(path, "list")
    assert len(shown.splitlines()) == len(PLACES)
    assert warned.splitlines() == [
        "warning: channel c: fetches media from any public host that a client names (`fetch: any`); no list holds those"
    ]
    path.write_text(YAML.replace("fetch: any", "fetch: false"))
    assert not printed(path, "list")[1]


def test_all_names_below_one_are_squids_matter(path):
    path.write_text(YAML.replace("[localhost]", "['*.images.example', a.images.example, 'http://old.example']"))
    lines = printed(path, "squid")[0].splitlines()
    assert "acl gateway_https_443_dstdomain dstdomain .images.example llm.corp" in lines
    assert "acl gateway_http_80_dstdomain dstdomain old.example" in lines
    done = CliRunner().invoke(command, ["--config", str(path), "--format", "nftables"])
    assert done.exit_code == 1 and "*.images.example stands for names that nobody can list" in done.output


@pytest.mark.parametrize(
    "url, found",
    [
        ("redis://cache", [("redis", "cache", 6379)]),
        ("rediss://u:p@cache:7000/1?prefix=x", [("rediss", "cache", 7000)]),
        ("postgresql+psycopg://u:p@db/x", [("postgresql", "db", 5432)]),
        ("postgresql+psycopg://u@/x?host=a:5433&host=b", [("postgresql", "a", 5433), ("postgresql", "b", 5432)]),
        ("postgresql+psycopg://u@/x?host=/run/postgresql", []),
        ("postgresql+psycopg:///x", []),
        ("sqlite:///var/gateway.db", []),
        ("memory://", []),
        ("", []),
    ],
)
def test_databases_are_found_wherever_their_address_names_them(url, found):
    assert list(outgoing._keepers(url)) == found


def test_squid_lets_each_host_be_reached_at_its_own_port_only(path):
    lines = printed(path, "squid")[0].splitlines()
    assert lines[-1] == "http_access deny all"
    assert "http_access allow CONNECT gateway_https_443_dstdomain gateway_port_443" in lines
    assert "acl gateway_https_443_dstdomain dstdomain llm.corp localhost" in lines
    assert "acl gateway_https_443_dst dst 127.0.0.2" in lines
    assert "acl gateway_http_11434_dst dst 127.0.0.4" in lines
    assert not [line for line in lines if "3128" in line or "6380" in line]
    defined = {line.split()[1] for line in lines if line.startswith("acl")}
    used = {word for line in lines[:-1] if line.startswith("http_access") for word in line.split()[2:]}
    assert used - {"!CONNECT"} == defined


def test_nftables_lets_the_gateway_alone_connect_there(path):
    text = printed(path, "nftables", "--user", "llm")[0]
    elements = {line.partition(",")[0].strip() for line in text.splitlines() if " . " in line and "," in line}
    wanted = "127.0.0.2 . 443", "127.0.0.3 . 3128", "127.0.0.4 . 11434", "10.0.0.5 . 6380", "127.0.0.7 . 5432"
    assert elements >= set(wanted)
    assert 'meta skuid != "llm" accept' in text and "llm.corp" not in text
    assert text.count("{") == text.count("}")
    assert text.rstrip().splitlines()[-3].strip() == "reject"


def test_a_network_policy_is_one(path):
    policy = yaml.safe_load(printed(path, "networkpolicy", "--app", "llm")[0])
    kubernetes_validate.validate(policy, kubernetes_validate.latest_version(), strict=True)
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app": "llm"}}
    rules = policy["spec"]["egress"][1:]
    reached = {(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in rules}
    assert {("127.0.0.2/32", 443), ("127.0.0.3/32", 3128), ("10.0.0.5/32", 6380)} <= reached
    assert 11434 in {port for _, port in reached}


def test_what_has_no_address_is_no_list_to_rely_on(path, places):
    def nowhere(host):
        raise OSError(-2, "Name or service not known")

    with pytest.raises(OSError, match=r"10\.0\.0\.5 has no address \(Name or service not known\)"):
        outgoing.addresses(places, nowhere)
    path.write_text('channels: [{name: a, provider: openai, key: k, base_url: "https://nowhere.invalid"}]')
    done = CliRunner().invoke(command, ["--config", str(path), "--format", "nftables"])
    assert done.exit_code == 1 and "nowhere.invalid" in done.output and "table" not in done.stdout


def test_ipv6_has_a_set_of_its_own():
    place = outgoing.Destination("https", "llm.corp", 443, "", ("channel a",))
    found = outgoing.addresses([place], lambda host: ["2001:db8::1", "192.0.2.1"])
    text = "\n".join(outgoing.as_nftables(found, "gateway"))
    assert "ip6 daddr . tcp dport @allowed6 accept" in text and "2001:db8::1 . 443" in text
    policy = yaml.safe_load("\n".join(outgoing.as_network_policy(found, "gateway")))
    blocks = [rule["to"][0]["ipBlock"]["cidr"] for rule in policy["spec"]["egress"][1:]]
    assert blocks == ["192.0.2.1/32", "2001:db8::1/128"]


def test_addresses_are_found_wherever_they_stand_in_a_plugins_options(tmp_path):
    (tmp_path / "hook").write_text("https://hooks.corp/T0/CANARY\n")
    (tmp_path / "gateway.yaml").write_text(
        "plugins_dir: .\n"
        f"plugins: [{{mine: {{a: [{{b: 'http://127.0.0.8:81/x'}}], c: 'file:{tmp_path}/hook',"
        " d: 'redis://:p@cache/0', e: 1, g: none}}]\n"
        "channels: [{name: echo, provider: echo}]\n"
    )
    (tmp_path / "mine.py").write_text(TAKING_ALL)
    places = outgoing.destinations(load(tmp_path / "gateway.yaml"))
    assert [place.place for place in places] == ["127.0.0.8:81", "cache:6379", "hooks.corp:443", "usual.corp:8443"]
    assert {place.users for place in places} == {("plugin mine",)}


@pytest.mark.parametrize("name", ['x" accept #', "a b", "", "-x"])
def test_a_name_that_would_be_something_else_in_a_rule_is_refused(name, path):
    for option in ("--user", "--app"):
        assert CliRunner().invoke(command, ["--config", str(path), option, name]).exit_code == 2


def test_the_lists_say_nothing_secret(path, places):
    assert "CANARY" not in json.dumps([str(place) for place in places])
