"""Channels that do as a script says, in this process but behind real sockets: for tests of what a call tries."""

import textwrap

PLUGIN = '''
import json
import time

from gateway import Answered, Provider, hookimpl

REPLY = {"choices": [{"message": {"role": "assistant", "content": "well"}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}
JSON = {"content-type": "application/json"}


class Plugin:
    """``script`` tells what each key gets: a status, or a word; ``asked`` are the keys that came."""

    def __init__(self):
        self.script, self.asked, self.seconds = {}, [], 0.05

    @hookimpl
    def register_providers(self, register):
        register(Provider("scripted", {"chat": ""}, respond=self.respond))

    def respond(self, request):
        key = request.headers["authorization"].removeprefix("Bearer ")
        self.asked.append(key)
        told = self.script.get(key, 200)
        if told == "stall":
            time.sleep(2)
            told = 200
        if told == "slow":
            time.sleep(self.seconds)
            told = 200
        if told == "slow 500":
            time.sleep(self.seconds)
            told = 500
        if told == "close":
            raise OSError("told to")
        if told == "empty":
            return Answered(200, JSON, b"")
        headers = dict(JSON)
        if told == "429 soon":
            told, headers["retry-after"] = 429, "1"
        error = {"error": {"message": f"told to by {key}", "code": "told"}}
        return Answered(told, headers, json.dumps(REPLY if told == 200 else error).encode())
'''

PATH = "/v1/chat/completions"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
KEY = {"authorization": "Bearer tester-key"}


def scripted(tmp_path, channels, more=""):
    """The YAML of *channels*, flow mappings without provider and models, with the plugin beside it."""
    folder = tmp_path / "scripted"
    folder.mkdir(exist_ok=True)
    (folder / "scripted.py").write_text(PLUGIN)
    lines = "\n".join(f"  - {{provider: scripted, models: [m], {channel}}}" for channel in channels)
    keys = "keys: [{name: tester, key: tester-key, show_route: true}]"
    return f"{textwrap.dedent(more)}\nplugins_dir: {folder}\nplugins: [scripted]\n{keys}\nchannels:\n{lines}\n"
