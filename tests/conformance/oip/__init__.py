"""A conformance suite for the Open Inference Protocol v2, pointable at any server. See README.md."""
