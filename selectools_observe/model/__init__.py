"""What is stored and asked for: traces, summaries, filters, pages, and their JSON."""
