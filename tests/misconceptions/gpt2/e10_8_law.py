"""Wrong answers to 10.8, fit a scaling law."""
