"""The conformance suite names every case that fails, not only the first."""

from __future__ import annotations

import pytest

from selectools_observe.testing.cases import all_cases


def test_cases_that_hold_are_silent():
    with all_cases() as case:
        for number in range(3):
            with case(number):
                assert number < 3


def test_each_case_that_fails_is_named():
    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases failed") as caught:
        _try_all("good", "\ud800", "silent", "last")
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [["case: '\\ud800'"], ["case: 'silent'"]]


def _try_all(*names: str) -> None:
    with all_cases() as case:
        for name in names:
            with case(name):
                assert name != "\ud800"
                if name == "silent":
                    with pytest.raises(ValueError, match="x"):
                        int("5")


def test_an_error_between_the_cases_is_itself():
    with pytest.raises(KeyError), all_cases():
        raise KeyError
