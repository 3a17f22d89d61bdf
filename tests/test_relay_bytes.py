"""Promise 1: client and channel speak the same dialect, so their bytes are theirs."""

import io
import re

import pytest

CHAT = "https://chat.test/v1/chat/completions"
UPSTREAM = {
    "/v1/chat/completions": (CHAT, b'"gpt"'),
    "/v1/responses": ("https://responses.test/v1/responses", b'"codex"'),
    "/v1/messages": ("https://messages.test/v1/messages", b'"claude"'),
    "/v1beta/models/gemini:generateContent": ("https://gemini.test/v1beta/models/gemini:generateContent", b'"x"'),
}
ODD = (
    b'{ "model":%b ,\r\n"zero":0,"none":null,"big":12345678901234567890123, "e":1E+400,'
    b'"lone":"\\ud83d\\u2028\xe2\x80\xa8",\t"d":{},"d":[] }\n'
)


@pytest.mark.parametrize("path", UPSTREAM)
def test_a_whole_call_passes_byte_for_byte_both_ways(path, client, network, sent):
    url, model = UPSTREAM[path]
    network.post(url, body=ODD % b'"theirs"', content_type="application/json")
    answer = sent(client, path, ODD % model)
    assert network.calls[0].request.body == ODD % model
    assert answer.data == ODD % b'"theirs"'
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


STREAMS = {
    "/v1/chat/completions": b'data: {"x":"\\ud83d\xe2\x80\xa8"}\r\n\r\n: note\n\n'
                            b'data:{"choices":[{"finish_reason":"stop"}]}\n\n'
                            b"event: odd\rdata: \r\rdata: [DONE]\n\n",
    "/v1/responses": b'event: response.created\ndata: {"type":"response.created"}\n\nevent: response.completed\n'
                     b'data: {"type":"response.completed","x":0}\n\n',
    "/v1/messages": b'event: ping\ndata: {"type": "ping"}\n\n'
                    b'event: message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n',
    "/v1beta/models/gemini:streamGenerateContent?alt=sse": b'data: {"candidates":[{"finishReason": "STOP"}]}\r\n\r\n',
}  # fmt: skip


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_passes_byte_for_byte(path, client, network, sent):
    url, model = next((value for key, value in UPSTREAM.items() if key.partition(":")[0] == re.split("[:?]", path)[0]))
    network.post(url.replace(":generate", ":streamGenerate"), body=STREAMS[path], content_type="text/event-stream")
    answer = sent(client, path, b'{"model":%b,"stream":true}' % model)
    assert answer.data == STREAMS[path]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers


def test_geminis_array_stream_passes_byte_for_byte(client, network, sent):
    body = b'[{"candidates":[]}\r\n,\r\n{"candidates":[{"finishReason": "STOP"}]}]'
    network.post(
        "https://gemini.test/v1beta/models/gemini:streamGenerateContent", body=body, content_type="application/json"
    )
    assert sent(client, "/v1beta/models/gemini:streamGenerateContent", {"contents": []}).data == body


# --- edits change their member and nothing else --------------------------------------------------

EDITED = """
channels:
  - name: edited
    provider: openai
    key: k
    base_url: https://chat.test
    models: [{public: upstream/name}]
    body: {set: {/user: corp, /a/b: [1]}, unset: [/store, /nosuch]}
    headers: {set: {X-Team: search, User-Agent: ours}, unset: [accept], forward: [X-Mine, X-Api-Key]}
"""


def test_edits_change_their_members_and_no_other_byte(client_of, network, sent):
    network.post(CHAT, body=b"{}")
    body = b'{ "store":true , "model" : "public","x":[1E2, 0.10] ,"user":null}'
    sent(client_of(EDITED), "/v1/chat/completions", body)
    assert network.calls[0].request.body == (
        b'{ "model" : "upstream/name","x":[1E2, 0.10] ,"user":"corp","a":{"b":[1]}}'
    )


def test_a_channel_edits_headers(client_of, network, sent):
    network.post(CHAT, body=b"{}")
    given = {"X-Mine": "1", "X-Other": "2", "Accept": "a/b", "User-Agent": "theirs", "X-Api-Key": "hush"}
    sent(client_of(EDITED), "/v1/chat/completions", {"model": "public"}, given)
    headers = {name.lower(): value for name, value in network.calls[0].request.headers.items()}
    assert (headers["x-team"], headers["user-agent"], headers["x-mine"]) == ("search", "ours", "1")
    assert not {"accept", "x-other", "x-api-key"} & set(headers)


def test_an_edit_that_leads_nowhere_is_refused(client_of, network, sent):
    answer = sent(client_of(EDITED), "/v1/chat/completions", {"model": "public", "a": "text"})
    assert (answer.status_code, len(network.calls)) == (400, 0)
    assert "/a/b" in answer.json["error"]["message"]


@pytest.mark.parametrize("model, path", [("vendor/gem.1", "vendor/gem.1"), ("a b?", "a%20b%3F")])
def test_a_rename_of_a_model_in_the_path(model, path, client_of, network, sent):
    client = client_of(f"""
        channels:
          - {{name: g, provider: google, key: k, base_url: https://gemini.test, models: {{public: "{model}"}}}}
    """)
    network.post(f"https://gemini.test/v1beta/models/{path}:generateContent", body=b"{}{}", content_type="text/plain")
    body = b'{ "contents":[] }'
    answer = sent(client, "/v1/models/public:generateContent".replace("/v1/", "/v1beta/"), body)
    assert (answer.data, network.calls[0].request.body) == (b"{}{}", body)


# --- headers -------------------------------------------------------------------------------------


def test_the_clients_credentials_and_cookies_never_travel(client, network, sent):
    network.post(CHAT, body=b"{}")
    hush = {"Authorization": "Bearer hush-1", "X-Api-Key": "hush-1", "Api-Key": "hush-1", "X-Goog-Api-Key": "hush-1",
            "Cookie": "hush=1", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=hush"}  # fmt: skip
    sent(client, "/v1/chat/completions?key=hush-1&alt=json", {"model": "gpt"}, hush)
    request = network.calls[0].request
    assert request.headers["authorization"] == "Bearer up-chat"
    assert request.url == CHAT + "?alt=json"
    assert "hush" not in f"{dict(request.headers)} {request.url} {request.body}"


@pytest.mark.parametrize("path, name, value", [
    ("/v1/chat/completions", "authorization", "Bearer up-chat"),
    ("/v1/responses", "authorization", "Bearer up-responses"),
    ("/v1/messages", "x-api-key", "up-messages"),
    ("/v1beta/models/gemini:generateContent", "x-goog-api-key", "up-gemini"),
])  # fmt: skip
def test_each_vendor_is_signed_its_own_way(path, name, value, client, network, sent):
    url, model = UPSTREAM[path]
    network.post(url, body=b"{}")
    sent(client, path, b'{"model":%b}' % model)
    headers = {key.lower(): text for key, text in network.calls[0].request.headers.items()}
    assert {key: text for key, text in headers.items() if "up-" in text} == {name: value}
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("auth, header, url", [
    ("none", None, CHAT), ("header:X-Key", "x-key", CHAT), ("query:api_key", None, CHAT + "?api_key=s%2F%26"),
    ("bearer", "authorization", CHAT), ("x-api-key", "x-api-key", CHAT),
])  # fmt: skip
def test_a_channel_names_another_way_to_sign(auth, header, url, client_of, network, sent):
    network.post(CHAT, body=b"{}")
    sent(client_of(f"""
        channels: [{{name: a, provider: openai, key: "s/&", auth: "{auth}", base_url: https://chat.test/v1}}]
    """), "/v1/chat/completions", {"model": "gpt"})  # fmt: skip
    request = network.calls[0].request
    assert request.url == url
    assert [key.lower() for key, value in request.headers.items() if "s/&" in value] == ([header] if header else [])


def test_answers_headers_are_chosen(client, network, sent):
    network.post(CHAT, body=b"{}", headers={
        "X-Request-Id": "theirs", "Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*", "Server": "them",
        "X-Ratelimit-Remaining": "7", "Openai-Version": "1", "X-Gateway-Channel": "forged", "Retry-After": "3",
    })  # fmt: skip
    answer = sent(client, "/v1/chat/completions", {"model": "gpt"}, {"X-Request-Id": "mine-1"})
    assert answer.headers["x-upstream-request-id"] == "theirs"
    assert answer.headers.getlist("x-request-id") == ["mine-1"]
    assert answer.headers.getlist("x-gateway-channel") == ["chat"]
    assert answer.headers["x-gateway-attempts"] == "1"
    assert (answer.headers["x-ratelimit-remaining"], answer.headers["openai-version"]) == ("7", "1")
    assert not {"set-cookie", "server", "access-control-allow-origin"} & {name.lower() for name, _ in answer.headers}


@pytest.mark.parametrize("given, taken", [("mine-1", True), ("a" * 128, True), ("a" * 129, False), ("a b", False),
                                          ("", False), ("{}", False)])  # fmt: skip
def test_a_request_id_is_taken_over_or_made_sent_and_returned(given, taken, client, network, sent):
    network.post(CHAT, body=b"{}")
    answer = sent(client, "/v1/chat/completions", {"model": "gpt"}, {"X-Request-Id": given})
    assert answer.headers["x-request-id"] == network.calls[0].request.headers["x-request-id"]
    assert (answer.headers["x-request-id"] == given) is taken
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"]) or taken


def test_the_query_passes_but_for_the_key(client, network, sent):
    url = "https://messages.test/v1/messages"
    network.post(url, body=b"{}")
    sent(client, "/v1/messages?beta=true&key=k&x=a%20b", {"model": "claude"})
    assert network.calls[0].request.url in (url + "?beta=true&x=a+b", url + "?beta=true&x=a%20b")


# --- other operations ------------------------------------------------------------------------------


@pytest.mark.parametrize("method, path", [
    ("POST", "/v1/embeddings"), ("POST", "/v1/completions"), ("POST", "/v1/moderations"),
    ("POST", "/v1/images/generations"), ("POST", "/v1/audio/speech"), ("POST", "/v1/batches"),
    ("GET", "/v1/files"), ("GET", "/v1/files/f-1/content"), ("DELETE", "/v1/files/f-1"),
    ("POST", "/v1/responses/compact"), ("GET", "/v1/responses/resp_1"), ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
])  # fmt: skip
def test_other_operations_pass_as_they_are(method, path, client_of, network):
    client = client_of("channels: [{name: a, provider: openai, key: k, base_url: https://chat.test}]")
    network.add(method, "https://chat.test" + path, body=b"\x00\xff binary", content_type="audio/mpeg", status=201)
    body = b'{ "model":"any", "x" : 0 }'
    answer = client.open(path, method=method, data=body if method == "POST" else None, content_type="application/json")
    assert (answer.status_code, answer.data, answer.headers["content-type"]) == (201, b"\x00\xff binary", "audio/mpeg")
    if method == "POST":
        assert network.calls[0].request.body == body


def test_an_upload_is_passed_on_with_its_model_renamed(client_of, network):
    client = client_of("""
        channels: [{name: a, provider: openai, key: k, base_url: https://chat.test, models: {hear: whisper-9}}]
    """)
    seen = []

    def hear(request):  # the file is gone once the call has ended
        seen.append(b"".join(request.body))
        return 200, {}, "{}"

    network.add_callback("POST", "https://chat.test/v1/audio/transcriptions", callback=hear)
    form = {"file": (io.BytesIO(b"\x00\r\n--x" * 1000), "a.mp3"), "model": "hear", "n": "1"}
    assert client.post("/v1/audio/transcriptions", data=form).status_code == 200
    request, body = network.calls[0].request, seen[0]
    assert b'name="model"\r\n\r\nwhisper-9\r\n' in body
    assert b"\x00\r\n--x" * 1000 in body
    assert b"hear" not in body
    assert request.headers["Content-Length"] == str(len(body))
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
