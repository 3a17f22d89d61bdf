"""`gateway check --live` through TLS and proxies."""

import json

import pytest
from click.testing import CliRunner
from live_cases import reply_bytes
from live_papers import make_papers, server_context, sha256
from live_proxy import ForwardProxy
from live_servers import OTHER_KEY, SECRETS, UPSTREAM_KEY
from live_upstream import Upstream

from gateway.cli import main

pytestmark = pytest.mark.live

DAYS = {"good": 90, "soon": 3, "expired": -1}


@pytest.fixture(scope="module", name="papers")
def _papers(tmp_path_factory):
    """A certificate authority and its certificates for 127.0.0.1, named by DAYS."""
    wanted = {name: (days, "subjectAltName=IP:127.0.0.1") for name, days in DAYS.items()}
    return make_papers(tmp_path_factory.mktemp("papers"), "/O=Corp/CN=Corp Root", wanted)


@pytest.fixture(scope="module", name="secure")
def _secure(papers):
    """name -> an upstream behind the certificate of that name; `picky` wants one of its client."""
    upstreams = {}
    for name in [*DAYS, "picky"]:
        context = server_context(papers, name if name in DAYS else "good", asks=name == "picky")
        upstreams[name] = Upstream(context)
        upstreams[name].answer(_answer)
    yield upstreams
    for upstream in upstreams.values():
        upstream.stop()


def _answer(exchange):
    if exchange.method == "GET":
        exchange.reply(b'{"data":[{"id":"m"}]}')
    else:
        exchange.stream(reply_bytes("chat"), "Connection: close")


@pytest.fixture(name="proxy")
def _proxy():
    proxy = ForwardProxy()
    yield proxy
    proxy.stop()


@pytest.fixture(name="check")
def _check(tmp_path, papers):
    """check(url, further members of the channel) -> its steps."""

    def check(url, more=""):
        path = tmp_path / "gateway.yaml"
        path.write_text(
            f"providers: {{v: {{dialects: [chat]}}}}\nchannels:\n"
            f"  - {{name: c, provider: v, key: {UPSTREAM_KEY}, base_url: '{url}', models: [m], {more}}}\n"
        )
        result = CliRunner().invoke(main, ["check", "--live", "--json", "--config", str(path), "--timeout", "5"])
        assert not [secret for secret in SECRETS if secret in result.output]
        return json.loads(result.stdout)["checks"][0]["steps"]

    return check


@pytest.fixture(name="trusted")
def _trusted(papers):
    return f"tls: {{ca: '{papers / 'ca.pem'}'}}"


@pytest.mark.parametrize("name, state", [("good", "ok"), ("soon", "warning")])
def test_a_certificate_says_how_long_and_whose_it_is(name, state, check, secure, trusted):
    steps = check(secure[name].url, trusted)
    tls = steps["tls"]
    assert (tls["state"], tls["days_left"], tls["issuer"]) == (state, DAYS[name] - 1, "Corp / Corp Root")
    assert steps["end"]["state"] == "ok"


def test_an_unknown_authority_is_named(check, secure):
    tls = check(secure["good"].url)["tls"]
    assert tls["state"] == "failed"
    assert "refused: unable to get local issuer certificate; issued by Corp / Corp Root;" in tls["text"]
    assert "`tls: {ca: FILE}`" in tls["text"]


@pytest.mark.parametrize("name, host, words", [
    ("expired", "127.0.0.1", "certificate has expired; its owner has to renew it"),
    ("good", "localhost", "Hostname mismatch"),
])  # fmt: skip
def test_a_certificate_that_is_no_good(name, host, words, check, secure, trusted):
    steps = check(secure[name].url.replace("127.0.0.1", host), trusted)
    assert (steps["tls"]["state"], words in steps["tls"]["text"]) == ("failed", True)
    assert steps["stream"]["state"] == "skipped"


def test_a_file_that_holds_no_certificate(check, secure, papers):
    tls = check(secure["good"].url, f"tls: {{ca: '{papers / 'good.ext'}'}}")["tls"]
    assert (tls["state"], "the files of `tls` cannot be used (" in tls["text"]) == ("failed", True)


def test_a_client_certificate_that_is_missing(check, secure, trusted, papers):
    tls = check(secure["picky"].url, trusted)["tls"]
    assert (tls["state"], "client certificate, `tls: {cert: FILE, key: FILE}`" in tls["text"]) == ("failed", True)
    own = f"tls: {{ca: '{papers / 'ca.pem'}', cert: '{papers / 'soon.pem'}', key: '{papers / 'soon.key'}'}}"
    assert check(secure["picky"].url, own)["end"]["state"] == "ok"


def test_through_a_proxy(check, secure, trusted, proxy):
    known = proxy.url.replace("//", f"//me:{OTHER_KEY}@")
    steps = check(secure["good"].url, f"{trusted}, proxy: '{known}'")
    assert [steps[name]["state"] for name in ("dns", "tcp", "proxy", "tls", "end")] == ["ok"] * 5
    assert "proxy" in steps["tcp"]["text"]
    assert all("proxy-authorization: basic " in head.lower() for head in proxy.seen)


def test_the_authority_of_a_stranger_is_named_through_a_proxy_too(check, secure, proxy):
    assert "issued by Corp / Corp Root" in check(secure["good"].url, f"proxy: '{proxy.url}'")["tls"]["text"]


def test_a_proxy_that_refuses(check, secure, trusted, proxy):
    proxy.refuse = True
    steps = check(secure["good"].url, f"{trusted}, proxy: '{proxy.url}'")
    port = secure["good"].port
    assert steps["proxy"]["text"] == f"the proxy refuses a tunnel to 127.0.0.1:{port} (403): it must allow that host"
    assert steps["tls"]["state"] == "skipped"


@pytest.mark.parametrize("proxy_url, step", [
    ("http://127.0.0.1:9", "tcp"), ("http://nowhere.invalid:3128", "dns"), ("egress.corp", "dns"),
])  # fmt: skip
def test_a_proxy_that_is_not_there(proxy_url, step, check, secure, trusted):
    found = check(secure["good"].url, f"{trusted}, proxy: '{proxy_url}'")[step]
    assert (found["state"], "`proxy`" in found["text"]) == ("failed", True)


def test_without_tls_the_proxy_gets_the_request_itself(check, upstream, proxy):
    upstream.answer(_answer)
    steps = check(upstream.url, f"proxy: '{proxy.url}'")
    assert (steps["proxy"]["state"], steps["end"]["state"]) == ("skipped", "ok")
    proxy.refuse = True
    assert "or the proxy refuses that host" in check(upstream.url, f"proxy: '{proxy.url}'")["auth"]["text"]


def test_a_certificate_that_is_pinned(check, secure, papers):
    for pinned, state in (("good", "ok"), ("soon", "failed")):
        pin = sha256(papers, pinned)
        tls = check(secure["good"].url, f"tls: {{ca: '{papers / 'ca.pem'}', fingerprint: '{pin}'}}")["tls"]
        assert tls["state"] == state
    assert "refused: it is not the one that is pinned; if its owner has changed it" in tls["text"]
