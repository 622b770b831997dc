"""The layout shows the architecture: no circles, nouns for files, one name for one thing."""

from __future__ import annotations

from pathlib import Path

import layout
import pytest


@pytest.fixture(scope="module")
def ours():
    return layout.Layout(Path(__file__).parents[2])


def test_no_module_imports_itself_through_others(ours):
    assert ours.circles() == []


def test_files_are_named_by_nouns(ours):
    assert ours.gerunds() == []


def test_a_name_is_used_again_only_where_the_folder_says_which(ours):
    assert ours.ambiguous() == {}


def test_the_top_level_is_small(ours):
    assert len(ours.rooms()) <= 14
