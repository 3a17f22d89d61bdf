"""The four wire protocols. Each is a package here that gives the same names:

``face``      how the dialect looks from outside (no translation): its error shape and error
              event, how its streams end, its model list. Always loaded.
``FIELDS``    Prompt field -> the dialect's own member (``max_tokens -> max_completion_tokens``).
              A field that is not in it cannot be said and is dropped by name.
``read_request(document, model="", stream=False) -> Prompt``
``write_request(prompt, target) -> Written``
``to_fetch(prompt, target) -> list[Media]``   media given by URL where the target must have bytes
``read_reply(document) -> Completion``
``write_reply(completion, asked) -> dict``
``StreamReader()``                            ``feed(sse.Event) -> list[StreamEvent]``, ``close() -> list[StreamEvent]``
``StreamWriter(asked)``                       ``feed(StreamEvent) -> bytes``, ``close(fault=None) -> bytes``

Readers raise errors.BadRequest (a client's document) or errors.ChannelFailed (an upstream's) and
nothing else, whatever they are given. Writers never raise. Both are pure.
"""
