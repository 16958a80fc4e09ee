from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encaja.portal.serialized import PhpObject, SerializedError, is_serialized, map_strings, serialize, unserialize

SAMPLES = [
    b"N;", b"b:1;", b"i:-5;", b"d:0.10000000000000001;", b"d:1;", b"d:-INF;", b's:2:"\xc3\xa9";', b'E:7:"Suit:No";',
    b'a:2:{i:0;s:1:"a";s:1:"k";a:0:{}}', b'O:3:"Foo":2:{s:6:"\x00Foo\x00a";i:1;s:1:"b";r:1;}', b'C:3:"Bar":4:{x{}y}',
    b'a:2:{i:0;a:1:{i:0;i:1;}i:1;R:2;}', b's:2:"\xff\xfe";',
]  # fmt: skip


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_byte_is_lost(sample: bytes) -> None:
    assert is_serialized(sample)
    assert serialize(unserialize(sample)) == sample


@pytest.mark.parametrize(
    "damaged",
    [b"", b"x", b"i:5", b"i:five;", b's:5:"abc";', b's:3:"abc"', b'a:1:{i:0;}', b'a:2:{i:0;i:1;}', b"b:2;", b"N;N;",
     b'a:1:{a:0:{}i:1;}', b'O:1:"A":9:{}', b'a:1:{i:0;s:24:"short";}', b'C:1:"A":99:{}', b"a:-1:{}", b"d:x;"],
)  # fmt: skip
def test_damage_is_refused(damaged: bytes) -> None:
    with pytest.raises(SerializedError):
        unserialize(damaged)


def test_deep_nesting_is_refused_without_exhausting_the_stack() -> None:
    with pytest.raises(SerializedError):
        unserialize(b"a:1:{i:0;" * 5000)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x), max_leaves=20
    )
)
def test_round_trip(value: object) -> None:
    assert unserialize(serialize(value)) == value


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert serialize(unserialize(data)) is not None
    except SerializedError:
        assert True


def test_lengths_count_bytes_after_mapping_and_keys_stay() -> None:
    value = unserialize('a:1:{s:2:"é";O:1:"A":1:{s:1:"h";s:3:"old";}}')
    assert value == {"é": PhpObject("A", {"h": "old"})}
    mapped = map_strings(value, lambda text: text.replace("old", "ñandú"))
    assert serialize(mapped) == 'a:1:{s:2:"é";O:1:"A":1:{s:1:"h";s:7:"ñandú";}}'.encode()
