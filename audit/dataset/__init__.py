"""From files to batches: readers, foregrounds, bounded decoding, one geometry for both."""
