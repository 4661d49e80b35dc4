"""A small link shortener: give it a long address, get a short one that redirects."""

__version__ = "1.0.0"
