"""Clients that nginx knows by their certificates, and those that only say so."""

import http.client
import json
import ssl

import pytest
from live_cases import asking
from live_nginx import WrittenNginx
from live_papers import make_papers, openssl
from live_servers import CLIENT_KEY, ROOT, Gateway, end, free_port

pytestmark = pytest.mark.live

YAML = """
plugins: [{call_log: {format: text}}]
trusted_proxies: [127.0.0.0/8]
certificate_proxies: [127.0.0.1]
keys:
  - {name: alice, certificates: ["CN=alice,O=Corp"], models: [for-alice]}
  - {name: batch, certificates: ["${BATCH}"], models: [for-batch]}
  - {name: tester, key: "${CLIENT_KEY}", models: [for-tester]}
  - {name: late, certificates: ["CN=late"], expires: 2020-01-01}
channels:
  - {name: up, provider: openai, key: k, base_url: "${UP}", headers: {forward: [x-client-dn, x-client-verify]}}
"""
PATH = "/v1/chat/completions"
CLIENT = (2, "basicConstraints=CA:FALSE")


@pytest.fixture(scope="module", name="papers")
def _papers(tmp_path_factory):
    wanted = dict.fromkeys(("batch", "stranger", "late"), CLIENT) | {"alice": (*CLIENT, "/O=Corp/CN=alice")}
    wanted["server"] = (2, "subjectAltName=DNS:localhost")
    return make_papers(tmp_path_factory.mktemp("papers"), "/CN=authority", wanted)


@pytest.fixture(scope="module", name="others")
def _others(tmp_path_factory):
    """Another authority, which signs the same name."""
    wanted = {"alice": (*CLIENT, "/O=Corp/CN=alice")}
    return make_papers(tmp_path_factory.mktemp("others"), "/CN=authority", wanted)


@pytest.fixture(scope="module", name="gateway")
def _gateway(folder, papers, upstreams):
    """Knows one client by its subject, another by its certificate's fingerprint as openssl prints it."""
    fingerprint = openssl(papers, "x509", "-in", "batch.pem", "-noout", "-fingerprint").strip().partition("=")[2]
    environment = {"CLIENT_KEY": CLIENT_KEY, "UP": upstreams[0].url, "BATCH": fingerprint}
    gateway = Gateway(folder, YAML, name="certificates", environment=environment)
    yield gateway
    end(gateway)


@pytest.fixture(scope="module", name="ports")
def _ports(folder, papers, gateway):
    """(plain, TLS) of conf/nginx.conf with TLS and client certificates in force."""
    text = (ROOT / "conf" / "nginx.conf").read_text().replace("#tls# ", "").replace("#mtls# ", "")
    for name, file in (("fullchain", "server.pem"), ("privkey", "server.key"), ("clients", "ca.pem")):
        assert f"/etc/gateway/tls/{name}.pem" in text
        text = text.replace(f"/etc/gateway/tls/{name}.pem", str(papers / file))
    plain, secure = free_port(), free_port()
    for place, port in (("127.0.0.1:8080", gateway.port), ("127.0.0.1:8000", plain), ("443 ssl", secure)):
        text = text.replace(place, f"127.0.0.1:{port}{' ssl' * place.endswith('ssl')}")
    nginx = WrittenNginx(folder, "nginx-certificates", text, plain)
    yield plain, secure
    end(nginx)


@pytest.fixture(name="ask")
def _ask(papers, ports, upstream):
    """ask(paper, model, folder, **headers) -> (status, document), through nginx with TLS."""
    upstream.answer(lambda exchange: exchange.reply(b'{"choices":[]}'))

    def ask(paper, model="for-alice", folder=papers, **headers):
        context = ssl.create_default_context(cafile=papers / "ca.pem")
        if paper:
            context.load_cert_chain(folder / f"{paper}.pem", folder / f"{paper}.key")
        connection = http.client.HTTPSConnection("localhost", ports[1], timeout=15, context=context)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = json.dumps(asking("chat", model, stream=False))
        connection.request("POST", PATH, body, {"content-type": "application/json"} | given)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}

    return ask


@pytest.fixture(name="forged")
def _forged(papers):
    """What nginx says of alice."""
    fingerprint = openssl(papers, "x509", "-in", "alice.pem", "-noout", "-fingerprint").strip().partition("=")[2]
    return {"x_client_verify": "SUCCESS", "x_client_dn": "CN=alice,O=Corp", "x_client_fingerprint": fingerprint}


def test_a_certificate_stands_for_its_key_and_has_its_rights(ask, upstream, gateway):
    assert ask("alice")[0] == 200
    assert ask("batch", "for-batch")[0] == 200
    assert ask("alice", "for-batch")[0] == ask("batch", "for-alice")[0] == 403
    assert ask("late")[1]["error"]["code"] == "expired_api_key"
    gateway.logged(r"gateway.calls: \S+ alice ")
    assert not [name for exchange in upstream.exchanges for name in exchange.headers if name.startswith("x-client-")]


def test_an_sdks_key_of_no_meaning_changes_nothing(ask):
    assert ask("alice", authorization="Bearer none")[0] == 200
    assert ask("alice", "for-tester", authorization=f"Bearer {CLIENT_KEY}")[0] == 403  # the certificate counts


def test_without_a_certificate_that_is_known_a_key_is_needed(ask):
    for paper in (None, "stranger"):
        assert ask(paper, "for-tester", authorization=f"Bearer {CLIENT_KEY}")[0] == 200
    assert ask(None)[0] == 401
    status, document = ask("stranger")
    assert status == 401 and "certificate of 'CN=stranger'" in document["error"]["message"]


def test_what_clients_say_of_themselves_nginx_overwrites(ask, forged, clients, ports, others):
    for paper in (None, "stranger", "batch"):
        assert ask(paper, **forged)[0] == (403 if paper == "batch" else 401)
    assert ask("alice", folder=others, **forged)[0] == 400  # the same name, signed by somebody else: nginx refuses it
    assert clients(ports[0]).post(PATH, asking("chat", "for-alice"), x_api_key=None, **forged).head().status == 401
    assert clients(ports[0]).ask("GET", "/metrics", x_api_key=None, **forged).head().status in (401, 404)


def test_only_who_may_vouch_is_believed(clients, gateway, forged, upstream):
    upstream.answer(lambda exchange: exchange.reply(b'{"choices":[]}'))

    def status(source, **headers):
        client = clients(gateway.port, source=(source, 0))
        return client.post(PATH, asking("chat", "for-alice", stream=False), x_api_key=None, **headers).head().status

    assert status("127.0.0.2", **forged) == 401
    assert status("127.0.0.2", x_forwarded_for="127.0.0.1", **forged) == 401
    assert status("127.0.0.1", **forged) == 200  # the proxy itself: that is what trust means
    for verdict in ("NONE", "FAILED:unable to verify the first certificate", "success", "SUCCESS,SUCCESS", ""):
        assert status("127.0.0.1", **forged | {"x_client_verify": verdict}) == 401
