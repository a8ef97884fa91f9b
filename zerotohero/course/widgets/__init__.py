"""The widgets of the lectures, one module a lecture; each does one thing, at once."""
