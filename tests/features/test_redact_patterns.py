"""What the patterns find, what they leave alone, and that no text makes them slow."""

import time

import pytest

from gateway import policies
from gateway.policies.masking import find_in_text, find_plainly

ALL = [policies.named_pattern(name) for name in policies.PATTERN_NAMES]


def found(text, *names):
    patterns = [policies.named_pattern(name) for name in names] or ALL
    return [(one.label.lower(), one.value) for one in find_plainly(text, patterns, False)]


@pytest.mark.parametrize("text, label, value", [
    ("write to alice.b+x@mail.example.co.uk.", "email", "alice.b+x@mail.example.co.uk"),
    ("'alice@example.com'", "email", "alice@example.com"),
    ("邮箱a.b@ex.co发", "email", "a.b@ex.co"),
    ("müller@example.de", "email", "müller@example.de"),
    ("x@xn--bcher-kva.example", "email", "x@xn--bcher-kva.example"),
    ("4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
    ("卡号4111111111111111。", "card", "4111111111111111"),
    ("card_4111-1111-1111-1111_", "card", "4111-1111-1111-1111"),
    ("item 12 4111111111111111 on 3", "card", "4111111111111111"),
    ("3782 822463 10005", "card", "3782 822463 10005"),
    ("6212 3456 7890 1234 569", "card", "6212 3456 7890 1234 569"),
    ("4111\u00a01111\u00a01111\u00a01111", "card", "4111\u00a01111\u00a01111\u00a01111"),
    ("to DE89 3704 0044 0532 0130 00 USA", "iban", "DE89 3704 0044 0532 0130 00"),
    ("gb82west12345698765432", "iban", "gb82west12345698765432"),
    ("AB12 CDEF DE89370400440532013000", "iban", "DE89370400440532013000"),
    ("key=sk-ant-api03-abcdefghijklmnopqrstuvwxyz", "api_key", "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"),
    ("AKIAIOSFODNN7EXAMPLE", "api_key", "AKIAIOSFODNN7EXAMPLE"),
    ("gw-0123456789012345678901234567890123456789", "api_key", "gw-0123456789012345678901234567890123456789"),
])  # fmt: skip
def test_what_is_found(text, label, value):
    assert found(text, "email", "card", "iban", "api_key") == [(label, value)]


@pytest.mark.parametrize("text", [
    "user@localhost", "pip install pkg@1.2.3", "@mention and a @ b", "4111 1111 1111 1112", "a4111111111111111",
    "3.4111111111111111", "1234567890123456", "4111111111111111e5", "DE88 3704 0044 0532 0130 00", "DE12 of the words",
    "XX89370400440532013000", "sk-short", "ask-me-anything-about-the-weather-tomorrow", "2024-11-21 14:15:28 0123456",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "123e4567-e89b-12d3-a456-426614174000",
])  # fmt: skip
def test_what_is_left_alone(text):
    assert found(text, "email", "card", "iban", "api_key") == []


def test_phones_are_found_only_when_asked_for():
    text = "+49 30 1234567, (415) 555-2671, 555-2671"
    assert found(text, "phone") == [("phone", "+49 30 1234567"), ("phone", "(415) 555-2671")]
    assert "phone" not in {label for label, _ in found(text, "email", "card", "iban", "api_key")}


def test_a_private_key_is_found_whole_and_cut_off():
    body = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nMIIabc+/=\n"
    whole = body + "-----END RSA PRIVATE KEY-----"
    assert found(f"see\n{whole}\nthere") == [("api_key", whole)]
    assert found(f"see\n{body}") == [("api_key", body)]


def test_neighbours_that_could_be_read_two_ways_are_hidden_together():
    ((_, value),) = found("5606 3782-8224-6310-005", "card")
    assert value == "5606 3782-8224-6310-005"


def test_what_overlaps_becomes_one():
    own = policies.OwnPattern("ticket", r"T-\d+ \S+")
    text = "T-12 alice@example.com x"
    (one,) = find_plainly(text, [own, *ALL], False)
    assert (one.label, one.value) == ("TICKET", "T-12 alice@example.com")


@pytest.mark.parametrize("text, value", [
    (r'{"a":"x\nalice@example.com"}', "alice@example.com"),
    (r'{"a":"\u0061lice\u0040example.com"}', "alice@example.com"),
    (r'{"a":{"b":[4111111111111111]}}', "4111111111111111"),
    (r'{"a":"{\"b\":\"x\\nalice@example.com\"}"}', "alice@example.com"),
    (r'{"a":"x\nalice@example.com"', "alice@example.com"),  # cut off
])  # fmt: skip
def test_json_inside_a_string_is_read_as_json(text, value):
    assert [one.value for one in find_in_text(text, ALL[:2])] == [value]


# --- own patterns -------------------------------------------------------------------------------------


def test_an_own_pattern_is_found_across_windows():
    own = policies.OwnPattern("employee", r"E-\d{6}", 8)
    text = "x" * 252 + "E-123456" + "y" * 5000 + "E-654321"
    assert [text[a:b] for a, b in own.find(text)] == ["E-123456", "E-654321"]


@pytest.mark.parametrize("expression", [
    "(a+)+!", "(?:a*b*)*x", "(x|xx)+y", "(q|q)*$", r"\w+\w+!", r"(\w+\s*){2,}:", ".*.*.*=",
])  # fmt: skip
def test_patterns_that_may_take_for_ever_are_refused(expression):
    with pytest.raises(ValueError, match="takes less time"):
        policies.OwnPattern("own", expression)


@pytest.mark.parametrize("expression", [
    r"E-\d{6}", r"(\d[ -]?)+", "(?:foo|bar)+", r"\(a+\)+", r"\w+!", r"(?i)project \w+ \d+",
])  # fmt: skip
def test_patterns_that_do_not_are_taken(expression):
    policies.OwnPattern("own", expression)


# --- time ---------------------------------------------------------------------------------------------

BAD = [
    "a", "1", "1 ", "44 ", "4111-", "@", "a@", "a.b@c.", "a@b.cc", "DE89", "DE89 ", "-", "-----BEGIN PRIVATE KEY-----",
    "sk-", "eyJ", "eyJaaaaaaaaaaaa.", "+1", "(", "x.", "\\", "\u00e9@",
]  # fmt: skip


def seconds_for(pattern, text):
    began = time.process_time()
    pattern.may(text)
    list(pattern.find(text))
    pattern.open_at(text)
    return time.process_time() - began


@pytest.mark.parametrize("name", policies.PATTERN_NAMES)
def test_time_grows_with_the_text_and_no_faster(name):
    """Eight times the text must not take anything like sixty-four times the time."""
    pattern = policies.named_pattern(name)
    for bad in BAD:
        short, long = bad * (20_000 // len(bad)), bad * (160_000 // len(bad))
        least = min(seconds_for(pattern, short) for _ in range(3))
        assert seconds_for(pattern, long) < 32 * max(least, 0.0005), bad
