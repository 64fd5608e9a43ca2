"""What is written about publications, and how it is read back: manifests, the journal, the ledger."""
