"""The loop over the dataset: batches in, one row a sample out, shard by shard."""
