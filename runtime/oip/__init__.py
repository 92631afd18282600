"""The Open Inference Protocol v2 over HTTP and gRPC, in front of whatever computes (runtime/inference.py)."""
