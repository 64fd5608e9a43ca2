"""From finished parts to a committed window, whatever other runs do meanwhile."""
