"""Rows to files: parts, slice files, and what a later attempt can go on from."""
