"""Structure-aware fuzzing of a replica's doors: `make fuzz`, and a short seeded run among the tests."""
