"""Checks of the conformance suite that take as long as all others: of many runs or long values.

The two faces of a backend run the same coroutines on the same data. What differs between them has
checks of its own, so the default tries these on one face of each; the class of the other says so::

    slow_checks = OF_MANY_RUNS
"""

from __future__ import annotations

OF_MANY_RUNS = frozenset({
    "test_all_questions_of_many_traces",
    "test_compact_keeps_everything",
    "test_deep_values_are_kept_or_refused",
    "test_facets_are_those_of_the_runs",
    "test_groups_are_those_of_the_summaries",
    "test_histograms_agree_with_queries",
    "test_large_metadata_survives",
    "test_long_texts_survive",
    "test_many_saves_at_once",
    "test_pages_in_any_order_hold_still",
    "test_query_gives_what_matches_says",
    "test_questions_agree_with_plain_python",
    "test_questions_of_annotations_agree_with_plain_python",
    "test_search_says_where_it_was_found",
    "test_statistics_are_those_of_the_traces",
    "test_streams_leave_out_what_is_saved_after_deletion",
    "test_streams_leave_out_what_is_saved_meanwhile",
})  # fmt: skip
