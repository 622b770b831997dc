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
    """As a command's, an integration's, a backend's or a route's: never a second ``core``."""
    for modules in ours.twice().values():
        folders = {module.rsplit(".", 2)[-2] for module in modules}
        assert len(folders) == len(modules), modules


def test_the_top_level_is_small(ours):
    assert len(ours.rooms()) <= 14
