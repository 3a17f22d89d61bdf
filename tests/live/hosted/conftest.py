"""One gateway with the models of all the documents, and their users' tools: curl and openai's SDK."""

import json
import subprocess

import openai
import pytest
from live_servers import CLIENT_KEY, UPSTREAM_KEY, Gateway, end

YAML = """
keys: [{name: alice, key: "${CLIENT_KEY}"}]
plugins: [{call_log: {format: text}}]
health: {enabled: false}
routing: {retries: 2}
channels:
  - &up {name: openai, provider: openai, key: "${UPSTREAM_KEY}", base_url: "${UP}", priority: 9,
         models: [gpt-4o, {openai/gpt-4o: gpt-4o, openai/gpt-5.5: gpt-5.5}]}
  - {<<: *up, name: unstored, models: [gpt-unstored], body: {unset: [/store]}}
  - {<<: *up, name: claude, provider: anthropic, models: [{anthropic/claude-opus-4.8: claude-opus-4-8}]}
  - {<<: *up, name: gemini, provider: google, models: [{google/gemini-3.5-flash: gemini-3.5-flash}]}
  - {<<: *up, name: deepseek, provider: deepseek, models: [deepseek-v4]}
  - {<<: *up, name: qwen, provider: qwen, models: [{qwen/qwen3.6-plus: qwen3.6-plus}]}
  - {<<: *up, name: octen, provider: octen, models: [minimax/minimax-m2.5]}
  - {<<: *up, name: responses, provider: only_responses, models: [{openai/gpt-5.5-pro: gpt-5.5-pro}]}
  - {<<: *up, name: spare, base_url: "${SPARE}", priority: 1}
providers:
  only_responses: {dialects: [responses]}
"""


@pytest.fixture(scope="package", name="gateway")
def _gateway(folder, upstreams):
    keys = {"CLIENT_KEY": CLIENT_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
    addresses = {"UP": upstreams[0].url, "SPARE": upstreams[1].url}
    gateway = Gateway(folder, YAML, name="hosted", environment=keys | addresses)
    yield gateway
    end(gateway)


@pytest.fixture(name="curl")
def _curl(gateway):
    """curl(path, body, *headers) -> (status, headers by name in lower case, body)"""

    def curl(path, body=None, *headers, key=f"Authorization: Bearer {CLIENT_KEY}"):
        command = ["curl", "-sS", "-N", "-i", "--max-time", "20", gateway.url + path, "-H", key]
        for header in headers:
            command += ["-H", header]
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            command += ["-X", "POST", "-H", "Content-Type: application/json", "-d", text]
        said = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
        head, _, data = said.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        return int(line.split()[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}, data

    return curl


@pytest.fixture(name="sdk")
def _sdk(gateway):
    return openai.OpenAI(api_key=CLIENT_KEY, base_url=gateway.url + "/v1", max_retries=0, timeout=20)
