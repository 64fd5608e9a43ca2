"""One file per contestant, each with ``carry(task)``: a window from the local server to Parquet in a folder."""
