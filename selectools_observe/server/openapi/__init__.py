"""The OpenAPI document of the HTTP service, and the schemas in it."""
