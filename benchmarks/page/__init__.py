"""How fast the page is in a real browser, beside others on the same runs."""
