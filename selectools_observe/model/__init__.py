"""The model: traces, summaries, filters, pages, and their JSON."""
