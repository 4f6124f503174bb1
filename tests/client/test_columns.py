"""Tables: columns line up, whatever is in them."""

from __future__ import annotations

from farsite_client.cli.columns import lined_up, width_of


def test_columns_begin_below_one_another_and_nothing_is_padded_at_the_end() -> None:
    lines = lined_up([["NAME", "ID"], ["Läden 🏬", "a"], ["x", ""]])
    assert lines == ["NAME      ID", "Läden 🏬  a", "x"]


def test_wide_and_combining_characters_count_as_terminals_show_them() -> None:
    assert [width_of(text) for text in ("abc", "日本", "e\u0301", "\u200d", "")] == [3, 4, 1, 0, 0]


def test_no_columns_are_no_text() -> None:
    assert lined_up([[], []]) == ["", ""]
