"""What people are told: the words of a notice, and whether it was told already. Who carries it is not known here."""
