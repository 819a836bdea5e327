from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connector.state.bodies import cut, pack, unpack


@given(st.one_of(st.binary(max_size=400), st.binary(min_size=1, max_size=3).map(lambda part: part * 1000)))
def test_a_packed_body_comes_back_byte_for_byte(body: bytes) -> None:
    assert unpack(pack(body)) == body


def test_a_large_body_is_packed_small() -> None:
    assert len(pack(b'{"visitorId":"user-0001@example.com"},' * 1000)) < 1000


def test_a_body_within_the_limit_is_kept_whole() -> None:
    assert cut(b"x" * 10, 10) == b"x" * 10


def test_a_body_over_the_limit_says_how_much_of_it_is_kept() -> None:
    assert cut(b"x" * 12, 10) == b"xxxxxxxxxx\n[cut here: 10 of 12 bytes are kept]"
