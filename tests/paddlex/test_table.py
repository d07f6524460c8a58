"""The tables of docs/paddlex-compat.md and the cases of `make compare-paddlex` name each other; nothing is started."""

import pytest

from tests.paddlex import sdk_cases
from tests.paddlex.command_cases import LINES
from tests.paddlex.difference import difference
from tests.paddlex.images import readable_images
from tests.paddlex.rest_cases import all_cases
from tests.paddlex.table import Row, read_rows
from tests.paddlex.verdict import judge


@pytest.fixture(scope="module")
def rest_keys() -> set[str]:
    return {case.row for case in all_cases(readable_images(), "127.0.0.1:1") if case.row}


def test_every_row_of_the_rest_table_has_a_request(rest_keys):
    assert rest_keys == set(read_rows("REST"))


def test_rows_of_the_rest_table_begin_with_the_statuses():
    for row in read_rows("REST").values():
        assert row.paddlex_statuses, row
        assert row.statuses, row


def test_python_and_command_lines_name_rows_that_list_a_difference():
    python = read_rows("Python") | read_rows("REST")
    command = read_rows("The command") | python
    assert [key for key in sdk_cases.ROWS.values() if key not in python or python[key].is_the_same] == []
    assert [line for line in LINES if line.row and (line.row not in command or command[line.row].is_the_same)] == []


ROWS = {row.key: row for row in (Row("a", "", "the same"), Row("b", "", "another"), Row("c", "200", "the same"))}


@pytest.mark.parametrize(
    ("seen", "key", "is_listed"),
    [
        (None, None, True),
        ("x", None, False),
        (None, "a", True),
        ("x", "a", False),
        (None, "b", False),
        ("x", "b", True),
        ("x", "c", False),
        ("x", "missing", False),
    ],
)
def test_what_is_seen_and_what_is_listed_must_agree(seen, key, is_listed):
    assert judge("case", seen, key, ROWS).is_listed is is_listed


@pytest.mark.parametrize(
    ("paddlex", "here", "found"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.04]}, None),
        ({"a": [1, 2.0]}, {"a": [1, 2.06]}, "a[1]: 2.0 and 2.06"),
        (0.5, 0.502, ": 0.5 and 0.502"),
        ([1], [1, 2], ": 1 and 2 entries"),
        ({"a": 1}, {"b": 1}, "keys: ['a'] and ['b']"),
        (True, 1, ": True and 1"),
        ("a", "a", None),
    ],
)
def test_differences(paddlex, here, found):
    assert difference(paddlex, here) == found
