"""Rows written against rows counted at the source."""
