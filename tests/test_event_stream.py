"""AWS's framing is read as AWS's SDKs write it, however it is cut, and damage is seen."""

import struct
from binascii import crc32
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.aws.event_stream import Corrupt, FrameReader, Message, write_message

PUBLISHED = yaml.safe_load((Path(__file__).parent / "cases" / "vendors" / "event_stream.yaml").read_text())


def data_of(said):
    return bytes.fromhex("".join(said["hex"].split()))


def message_of(said):
    return Message(said["headers"], said["payload"].encode())


@pytest.mark.parametrize("said", PUBLISHED["good"], ids=lambda said: said["name"])
def test_a_published_message_however_it_is_cut(said):
    data = data_of(said)
    for cut in range(len(data) + 1):
        reader = FrameReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [message_of(said)]
        reader.close()


def test_many_in_one_piece():
    whole = b"".join(map(data_of, PUBLISHED["good"]))
    assert FrameReader().feed(whole) == list(map(message_of, PUBLISHED["good"]))


@pytest.mark.parametrize("said", PUBLISHED["bad"], ids=lambda said: said["name"])
def test_published_damage_is_seen(said):
    with pytest.raises(Corrupt):
        FrameReader().feed(data_of(said))


def test_headers_that_lead_beyond_their_end_are_damage_in_spite_of_good_sums():
    for headers in (b"\x05short", b"\x01a\x07\xff\xffx", b"\x01a\x63", b"\x01\xff\x00", b"\x01a\x04\x00"):
        prelude = struct.pack(">II", 16 + len(headers), len(headers))
        data = prelude + struct.pack(">I", crc32(prelude)) + headers
        with pytest.raises(Corrupt):
            FrameReader().feed(data + struct.pack(">I", crc32(data)))


def test_an_end_inside_a_message_is_damage():
    reader = FrameReader()
    assert reader.feed(data_of(PUBLISHED["good"][1])[:-1]) == []
    with pytest.raises(Corrupt):
        reader.close()


@given(
    st.lists(st.tuples(st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=4), st.binary())),
    st.integers(1, 40),
)
def test_what_is_written_is_read(messages, size):
    data = b"".join(write_message(headers, payload) for headers, payload in messages)
    reader, read = FrameReader(), []
    for start in range(0, len(data), size):
        read += reader.feed(data[start : start + size])
    assert [(message.headers, message.payload) for message in read] == messages
