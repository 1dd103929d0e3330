"""The last of what a process prints."""

import os

from loopclinic.output_tail import Tail


def printed(*pieces: bytes, kept: int) -> Tail:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        tail = Tail(stream, kept=kept)
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for piece in pieces:
                pipe.write(piece)
        tail.join(5)
    return tail


def test_small_pieces_are_kept_as_well_as_large_ones():
    lines = [b"%d\n" % number for number in range(1000)]
    tail = printed(*lines, kept=100)
    assert tail.text == b"".join(lines)[-100:].decode()
    assert tail.size == sum(map(len, lines))
    large = printed(b"".join(lines), kept=100)
    assert large.text == tail.text


def test_little_is_kept_whole_and_a_character_cut_in_two_is_no_error():
    assert printed(b"good", b"bye", kept=100).text == "goodbye"
    assert printed("lag \u00e9".encode(), kept=1).text == "\ufffd"
