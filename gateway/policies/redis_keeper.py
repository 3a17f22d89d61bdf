"""Replies in Redis, for all machines. How many it keeps is Redis's own affair (``maxmemory``)."""

import redis

from gateway.policies.kept_reply import KeeperAway

_PATIENCE = 0.25  # seconds; a cache that is slower is none
_PREFIX = "gateway:reply:"


class InRedis:
    """See reply_cache.Keeper."""

    def __init__(self, url: str):
        self._client = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=None, health_check_interval=0
        )

    def get(self, digest, now):
        try:
            return self._client.get(_PREFIX + digest)
        except redis.RedisError as error:
            raise KeeperAway(error) from None

    def put(self, digest, data, now, seconds):
        try:
            self._client.set(_PREFIX + digest, data, px=max(1, int(seconds * 1000)))
        except redis.RedisError as error:
            raise KeeperAway(error) from None

    def close(self):
        self._client.close()
