"""Nothing planted gets through, and nothing else is changed: over documents that are made up, cut anywhere."""

import contextlib
import json
import os
import random
import re

import planted
import pytest

from gateway import UpstreamReply, policies
from gateway.policies.json_spans import unescaped
from gateway.policies.masking import restored_document

DOCUMENTS = int(os.environ.get("REDACT_DOCUMENTS", "1200"))
PATTERNS = [policies.named_pattern(name) for name in ("email", "card", "iban", "api_key")]
PLACEHOLDER = re.compile(r'\\*"?<[A-Z_]+_[0-9]+>\\*"?|<[A-Z_]+_[0-9]+>')


def strings(value):
    """Every string and key in a document, those of JSON inside strings too, and numbers as texts."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            with contextlib.suppress(ValueError):
                yield from strings(json.loads(value))
    else:
        yield str(value)


def hidden(dialect, text):
    """(the masked text, its masks)."""
    masks = policies.Masks(text)
    return policies.masked(text, policies.find_in_document(text, PATTERNS, dialect), masks), masks


def only_findings_differ(before, after, masks):
    """Whether *after* is *before* with placeholders in the places of their values, byte for byte."""
    at = 0
    for piece in re.split(r"(<[A-Z_]+_[0-9]+>)", after):
        if piece not in masks.values:
            quoted = piece
            found = before.startswith(quoted, at)
            assert found, (piece, before[at : at + 80])
            at += len(quoted)
            continue
        value = masks.values[piece]
        for end in range(at + len(value), len(before) + 1):  # as it was written there
            raw = before[at:end]
            if raw == value or ("\\" in raw and _says(raw) == value):
                at = end
                break
        else:
            raise AssertionError((piece, before[at : at + 80]))
    return at == len(before)


def _says(raw):
    for _ in range(3):
        if "\\" in raw and not raw.endswith("\\"):
            try:
                raw = unescaped(raw)
            except ValueError:
                return raw
    return raw


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_requests(dialect):
    for seed in range(DOCUMENTS // 4):
        chance, values = random.Random(f"{dialect} {seed}"), []
        document = planted.request(dialect, chance, values)
        before = planted.written(document, chance)
        after, masks = hidden(dialect, before)
        seen = list(strings(json.loads(after)))
        assert not [v for v in values if any(v in text for text in seen)], seed
        # A number gets quotes with its placeholder: the one change beside the finding itself.
        unquoted = re.sub(r'\\*"(<CARD_[0-9]+>)\\*"', _unless_text(before, masks), after)
        assert only_findings_differ(before, unquoted, masks), seed
        assert set(values) == set(masks.values.values()), seed
        assert said(json.loads(restored_document(after, masks.values))) == said(json.loads(before)), seed


def _unless_text(before, masks):
    def put(match):
        value = masks.values[match[1]]
        return match[0] if re.search(rf'"{re.escape(value)}\\*"', before) else match[1]

    return put


def said(value):
    """A document as its readers understand it: JSON inside strings read too, numbers as texts."""
    if isinstance(value, dict):
        return {name: said(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [said(inner) for inner in value]
    if isinstance(value, str):
        try:
            return said(json.loads(value))
        except ValueError:
            return value
    return str(value)


# --- replies, cut anywhere ----------------------------------------------------------------------------


def spoken(chance, values):
    """(said, thought, arguments): what a model might say, with *values* in it."""
    arguments = planted.arguments(chance, values)
    return planted.prose(chance, values), planted.prose(chance, values), planted.inner(arguments, chance)


def through(rewriter, events, chance):
    """What leaves when the events come as a socket might give them: one at a time, or many at once."""
    left, at = [], 0
    while at < len(events):
        step = chance.choice([1, 1, 1, 2, 5, 50])
        left.append(rewriter.feed(b"".join(events[at : at + step])))
        at += step
    return b"".join([*left, rewriter.close()])


def put_back(text, masks):
    return re.sub(r"<[A-Z_]+_[0-9]+>", lambda match: masks.values.get(match[0], match[0]), text)


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_streams_that_repeat_placeholders(dialect):
    for seed in range(DOCUMENTS // 8):
        chance, values = random.Random(f"{dialect} stream {seed}"), []
        texts = spoken(chance, values)
        masked, masks = hidden("chat", json.dumps({"messages": texts}, ensure_ascii=False))
        told = json.loads(masked)["messages"]
        if chance.random() < 0.3:  # as some servers write the brackets inside JSON
            told[2] = re.sub("<([A-Z_]+_[0-9]+)>", r"\\u003c\1\\u003e", told[2])
        rewriter = policies.ReplyRewriter(dialect, (), masks, _never)
        stream = through(rewriter, planted.events(dialect, *told, chance), chance)
        heard = planted.heard(dialect, stream)
        assert heard[:2] == tuple(texts[:2]), seed
        assert said(json.loads(heard[2])) == said(json.loads(texts[2])), seed
        leftover = [placeholder for placeholder in masks.values if placeholder.encode() in stream]
        assert not leftover, seed  # also in the events that say it all once more


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_streams_in_which_something_is_planted(dialect):
    for seed in range(DOCUMENTS // 8):
        chance, values = random.Random(f"{dialect} planted {seed}"), []
        texts = spoken(chance, values)
        masks = policies.Masks("")
        rewriter = policies.ReplyRewriter(dialect, PATTERNS, masks, lambda findings: None)
        stream = through(rewriter, planted.events(dialect, *texts, chance), chance)
        heard = planted.heard(dialect, stream)
        whole = " ".join([*heard, *strings(json.loads(heard[2]))])
        assert not [v for v in values if v in whole or v.encode() in stream], seed
        assert tuple(put_back(text, masks) for text in heard[:2]) == texts[:2], seed
        assert said(json.loads(put_back(heard[2], masks))) == said(json.loads(texts[2])), seed


@pytest.mark.parametrize("dialect", planted.DIALECTS)
def test_whole_replies(dialect):
    """A whole reply is one document, which holds the same texts as the request did."""
    for seed in range(DOCUMENTS // 16):
        chance, values = random.Random(f"{dialect} whole {seed}"), []
        before = planted.written(planted.request(dialect, chance, values), chance)
        after, masks = hidden(dialect, before)
        reply = UpstreamReply(200, {}, after.encode())
        policies.ReplyRewriter(dialect, (), masks, _never).whole(reply)
        assert said(json.loads(reply.body)) == said(json.loads(before)), seed
        reply = UpstreamReply(200, {}, before.encode())
        policies.ReplyRewriter(dialect, PATTERNS, policies.Masks(""), lambda findings: None).whole(reply)
        assert not [v for v in values if any(v in text for text in strings(json.loads(reply.body)))], seed


def _never(findings):
    raise AssertionError("nothing was to be found")
