"""YAML of strangers: what is plain is read, everything else is a sentence with its line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from audit.yaml_text import UnreadableYamlError, load_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "with its aliases written out"),
        ("a: &a [*a]", "an anchor that stands within itself"),
        ("a: &a {b: {c: *a}}", "an anchor that stands within itself"),
        ("a: " + "[" * 20_000, "nested more than 40 levels"),
        ("a: " + "{a: " * 500, "nested more than 40 levels"),
        ("- " * 500 + "a", "nested more than 40 levels"),
        ("a: 1\nseed: " + "7" * 5_000, "line 2: '7777777"),
        ("a: 2026-13-45", "no number, date or time that can be"),
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' twice"),
        ("a: {b: 1, b: 1}", "the key 'b' twice"),
        ("a: !!python/object/apply:os.system [ls]", "found one tagged"),
        ("a: !!binary aGk=", "found one tagged"),
        ("a: b\0c", "special characters are not allowed"),
        ("a: [1, 2", "expected"),
        ("a: *nothing", "undefined alias"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_what_no_file_of_ours_needs_is_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UnreadableYamlError, match=said):
        load_yaml(text)


def test_aliases_and_merges_that_people_write_are_read() -> None:
    text = "base: &base {a: 1, b: [x]}\none: {<<: *base, a: 2}\ntwo: *base\nthree: [*base, *base]"
    assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml("") is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(plain)
def test_whatever_yaml_writes_is_read_back(value: object) -> None:
    assert load_yaml(yaml.safe_dump(value)) == value
