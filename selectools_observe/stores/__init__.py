"""The stores that users construct, blocking and async, and adapters between them."""
