"""Trying channels for real, before a call has to: ``gateway check --live``.

One check is of one key of one channel. ``reaching`` walks the way there (DNS, TCP, proxy, TLS) on a
connection of its own, ``asking`` sends what calls send, over the road that calls take, ``judging`` says
what a failure means to the operator, and ``findings`` keeps it all; ``running`` does many at once.
Nothing is counted, rested or logged as a call: no plugin sees a check but the channel's own provider.
"""
