"""Load in, wanted replicas out, every decision explained; and the place where the first request waits for a replica."""
