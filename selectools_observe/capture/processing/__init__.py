"""Processing of runs before they reach a store: redaction, truncation, sampling."""
