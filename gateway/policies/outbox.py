"""Events on their way to a webhook: bounded, in batches, signed, tried again.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA-256 over
``id.timestamp.body``, base64, as ``webhook-signature: v1,...``.
"""

import base64
import hashlib
import hmac
import logging
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import Any

from gateway import json_text
from gateway.direct import direct_opener

log = logging.getLogger("gateway.webhook")

_PATIENCE = 5.0  # seconds for one post
_LONGEST_WAIT = 300.0  # seconds between two tries
_DEAD = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})  # no later try would fare better


class Outbox:
    """``put`` events; ``send`` is called now and then from a thread of its own. *most* events wait at a time, in
    batches of *batch*; each batch is tried *tries* times, with pauses that double from a second on."""

    def __init__(self, url: str, key: bytes, most: int, batch: int, tries: int):
        self._url = url
        self._key = key
        self._batch = batch
        self._tries = tries
        self._waiting: deque[dict[str, Any]] = deque()
        self._most = most
        self._one = threading.Lock()
        self._sending = threading.Lock()
        self._opener = direct_opener()
        self._tried = 0
        self._again_at = 0.0  # monotonic
        self._posted: tuple[str, list[dict[str, Any]]] | None = None  # id and events of the batch under way
        self.dropped = 0  # since the last batch that arrived
        self.dropped_in_all = 0

    def put(self, event: dict[str, Any]) -> None:
        """Never waits; when too many wait, the oldest is dropped and counted."""
        with self._one:
            self._waiting.append(event)
            if len(self._waiting) > self._most:
                self._waiting.popleft()
                self._drop(1)

    def __len__(self) -> int:
        with self._one:
            return len(self._waiting) + (len(self._posted[1]) if self._posted else 0)

    def send(self, now: bool = False) -> None:
        """Post what waits, batch by batch, until all has left or a batch has to wait for its next try;
        *now* does not heed such a pause."""
        with self._sending:
            while (now or time.monotonic() >= self._again_at) and self._take():
                if not self._post():
                    return

    def _take(self) -> bool:
        with self._one:
            if self._posted is None and self._waiting:
                events = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._posted, self._tried = (f"msg_{uuid.uuid4().hex}", events), 0
            return self._posted is not None

    def _post(self) -> bool:
        message, events = self._posted
        dropped = self.dropped
        self._tried += 1
        try:
            self._deliver(message, json_text.write(_document(events, dropped)))
        except Exception as error:  # of any kind; its text may hold the address, and that a secret
            status = error.code if isinstance(error, urllib.error.HTTPError) else 0
            why = f"status {status}" if status else type(error).__name__
            log.warning("%d events not delivered on try %d: %s", len(events), self._tried, why)
            if self._tried >= self._tries or status in _DEAD:
                with self._one:
                    self._posted = None
                    self._drop(len(events))
            self._again_at = time.monotonic() + min(2.0 ** (self._tried - 1), _LONGEST_WAIT)
            return False
        with self._one:
            self._posted, self._again_at = None, 0.0
            self.dropped -= dropped
        return True

    def _deliver(self, message: str, body: bytes) -> None:
        at = str(int(time.time()))
        headers = {"content-type": "application/json", "webhook-id": message, "webhook-timestamp": at}
        if self._key:
            headers["webhook-signature"] = signature(self._key, message, at, body)
        request = urllib.request.Request(self._url, body, headers)
        with self._opener.open(request, timeout=_PATIENCE):
            pass

    def _drop(self, number: int) -> None:
        self.dropped += number
        self.dropped_in_all += number
        if self.dropped == number or self.dropped % 1000 < number:
            log.error("%d events were dropped so far", self.dropped_in_all)


def signature(key: bytes, message: str, at: str, body: bytes) -> str:
    """``v1,`` and the base64 of the HMAC."""
    said = b".".join([message.encode(), at.encode(), body])
    return f"v1,{base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()}"


def _document(events: list[dict[str, Any]], dropped: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": "gateway.events", "timestamp": at, "dropped": dropped, "events": events}


def webhook_key(key: str) -> bytes:
    """A key as Standard Webhooks write them (``whsec_`` and base64), or any text. Raises ValueError."""
    if key.startswith("whsec_"):
        return base64.b64decode(key.removeprefix("whsec_"), validate=True)
    return key.encode()
