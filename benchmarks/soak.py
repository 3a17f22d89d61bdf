"""Hours of trouble in minutes: everything that goes wrong goes wrong all the time, and nothing may stay behind.

    python -m benchmarks.soak [--seconds 900] [--clients 60]

Whole replies, streams, other dialects, large bodies, refusals; upstreams that break, fail, send
nonsense; clients that leave. Now and then the load rests and each worker is looked at:
memory within 5 %, no more descriptors, the same processes; and no call may take longer than it can.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks.pair import Pair, running
from benchmarks.servers import KEY

MEMORY = 1.05
DESCRIPTORS = 8
LONGEST = 40.0  # seconds; the longest that a call of these can last is far less
REST = 3.0
_SLICES = 9

# (weight, model, path, what the echo is told, stream, what the client does)
SCENES = [
    (20, "same", "chat", "some words for an answer", False, "reads"),
    (20, "same", "chat", "[[delay 0.01]] [[words 60]] x", True, "reads"),
    (10, "other", "messages", "[[delay 0.01]] [[words 60]] x", True, "reads"),
    (5, "same", "messages", "[[think a little]] [[call f {\"a\": 1}]] x", True, "reads"),
    (5, "echo", "chat", "[[words 2000]] x", True, "reads"),
    (4, "same", "chat", "x" * 500_000, False, "reads"),
    (5, "same", "chat", "[[cut after 3]] one two three four five", True, "reads"),
    (5, "other", "messages", "[[cut after 3]] one two three four five", True, "reads"),
    (3, "same", "chat", "[[cut]] x", False, "reads"),
    (4, "same", "chat", "[[status 500]] x", False, "reads"),
    (4, "same", "chat", "[[status 400]] x", True, "reads"),
    (3, "other", "messages", "[[malformed after 2]] one two three four", True, "reads"),
    (3, "other", "messages", "[[error after 2]] one two three four", True, "reads"),
    (3, "same", "chat", "[[empty]] x", True, "reads"),
    (8, "same", "chat", "[[delay 0.02]] [[words 100]] x", True, "leaves"),
    (4, "other", "messages", "[[silence 5 after 2]] one two three four", True, "leaves"),
    (3, "nothing", "chat", "x", False, "reads"),
]
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
HEADERS = {"Content-Type": "application/json", "X-Api-Key": KEY}


class Load:
    """Clients in threads. ``statuses`` counts what came; ``stuck`` names calls that lasted too long."""

    def __init__(self, port: int, clients: int):
        self._port = port
        self._over = threading.Event()
        self.statuses: Counter = Counter()
        self.stuck: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def during(self, seconds: float) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(seconds)
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        weights = [scene[0] for scene in SCENES]
        connection = None
        while not self._over.is_set():
            scene = chance.choices(SCENES, weights)[0]
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LONGEST)
            try:
                keep = self._call(connection, *scene[1:])
            except TimeoutError:
                self.stuck.append(scene[3][:40])
                keep = False
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                keep = False
            if not keep or chance.random() < 0.3:
                connection.close()
                connection = None

    def _call(self, connection, model: str, dialect: str, text: str, stream: bool, does: str) -> bool:
        asked = {"model": model, "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
        connection.request("POST", PATHS[dialect], json.dumps(asked).encode(), HEADERS)
        answer = connection.getresponse()
        self.statuses[answer.status] += 1
        if does == "leaves":
            answer.read(200)
            return False
        answer.read()
        return True


def soak(pair: Pair, seconds: float, clients: int) -> list[str]:
    """Complaints; prints what was measured. The load comes in slices with a rest behind each: memory goes up and down
    by a few MB with what was freed last, so the lowest of the last slices is held against the lowest of the first."""
    say = sys.stdout.write
    warm = Load(pair.port, clients)
    warm.during(max(15.0, seconds * 0.1))
    stuck, statuses, looks = warm.stuck, Counter(), []
    for _ in range(_SLICES):
        load = Load(pair.port, clients)
        load.during(seconds / _SLICES)
        stuck += load.stuck
        statuses += load.statuses
        time.sleep(REST)
        looks.append((pair.resident(), pair.descriptors()))
    say(f"calls: {sum(statuses.values())}, by status: {dict(statuses)}\n")
    complaints = [f"stuck: {each}" for each in stuck]
    if len({frozenset(memory) for memory, _ in looks}) > 1:
        return [*complaints, f"workers have died: {[sorted(memory) for memory, _ in looks]}"]
    third = _SLICES // 3
    for pid in looks[0][0]:
        memory = [each[pid] for each, _ in looks]
        open_ones = [each[pid] for _, each in looks]
        say(f"worker {pid}: MB {' '.join(f'{each:.1f}' for each in memory)}; descriptors {open_ones}\n")
        if min(memory[-third:]) > min(memory[:third]) * MEMORY:
            complaints.append(f"worker {pid} has grown by {min(memory[-third:]) / min(memory[:third]) - 1:.1%}")
        if min(open_ones[-third:]) > min(open_ones[:third]) + DESCRIPTORS:
            complaints.append(f"worker {pid} holds {min(open_ones[-third:]) - min(open_ones[:third])} descriptors more")
    if not statuses[200] or not statuses[500] + statuses[502] + statuses[503]:
        complaints.append("the load was not what it should be")
    return complaints


def main() -> None:
    parser = argparse.ArgumentParser(description="Nothing grows, and nothing sticks.")
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--clients", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as pair:
        complaints = soak(pair, options.seconds, options.clients)
    sys.stdout.write("".join(f"{each}\n" for each in complaints) or "flat\n")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
