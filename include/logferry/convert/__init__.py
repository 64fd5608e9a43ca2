"""Raw answers to Arrow record batches. Every value survives: what has no column goes to ``extra`` as JSON."""
