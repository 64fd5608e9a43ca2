"""What the archive holds and whether it still does: coverage, gaps, verification, upkeep."""
