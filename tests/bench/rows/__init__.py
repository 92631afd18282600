"""The rows of the table of docs/benchmarks: each function measures one and returns its findings."""
