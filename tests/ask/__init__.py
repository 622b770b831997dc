"""Finding runs: text, order, the filter language, groups and statistics."""
