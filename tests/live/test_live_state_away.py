"""While the shared state is away, calls go on by what each worker saw itself."""

import pytest
from live_upstream import Upstream
from state_servers import RedisServer

pytestmark = pytest.mark.live

PATH = "/v1/chat/completions"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
REPLY = b'{"choices":[{"message":{"role":"assistant","content":"well"},"finish_reason":"stop"}]}'
YAML = """
state: '{redis}'
routing: {{queue: 0.2}}
health: {{trips: 3, cool_down: 60}}
plugins: [{{call_log: {{format: text}}}}]
keys: [{{name: tester, key: '${{CLIENT_KEY}}', show_route: true}}]
channels:
  - {{name: bad, provider: openai, key: k, models: [m], base_url: '{bad}', priority: 3}}
  - {{name: bounded, provider: openai, key: k, models: [m, only], base_url: '{good}', priority: 2, limits: {{rpm: 99}}}}
  - {{name: good, provider: openai, key: k, models: [m], base_url: '{good}', priority: 1}}
"""


@pytest.fixture(name="ups")
def _ups():
    both = Upstream(), Upstream()
    both[0].answer(lambda exchange: exchange.reply(b"{}", status="500 Told"))
    both[1].answer(lambda exchange: exchange.reply(REPLY))
    yield both
    for upstream in both:
        upstream.stop()


def test_calls_go_on_by_what_a_worker_saw_itself_and_the_log_says_so_once(ups, start, clients, tmp_path):
    bad, good = ups
    with RedisServer(tmp_path) as redis:
        gateway = start(YAML.format(redis=redis.url, bad=bad.url, good=good.url), workers=1)
        client = clients(gateway.port)
        client.post(PATH, ASKED).head().rest()
        assert client.headers["x-gateway-channel"] == "bounded"
        redis.kill()
        routes = []
        for _ in range(20):
            assert client.post(PATH, ASKED).head().status == 200
            routes.append(client.headers["x-gateway-route"])
            client.rest()
        # The third failure in a row trips it; what has limits that nobody can count is passed over.
        assert [route.startswith("bad") for route in routes] == [True] * 2 + [False] * 18
        assert all("bounded" not in route and "good#0:ok" in route for route in routes)
        assert client.post(PATH, ASKED | {"model": "only"}).head().status == 503
        assert client.json()["error"]["code"] == "state_unavailable"
        assert gateway.log().count("this worker's own knowledge for now") == 1
        assert gateway.log().count("cannot be asked") <= 4  # the worker's own works say it, each once
        redis.start()
        gateway.logged("is back")
        assert client.post(PATH, ASKED | {"model": "only"}).head().status == 200
