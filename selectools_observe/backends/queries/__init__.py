"""What answers questions about the runs of a store: pages, orders, sums, indexes in memory."""
