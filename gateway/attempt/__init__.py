"""One try on one channel with one key: its request, how long it may take, what its failure means."""
