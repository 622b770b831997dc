"""What backends share that speak SQL: a filter as terms and conditions, and stores on a server."""
