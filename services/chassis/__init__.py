"""How a Cortex process lives: nothing here knows what an API, a replica or a revision is.

A module may enter only if two deployables import it today, it holds no domain noun, it has its own test file, and its
name says what it gives. Twelve modules at most.
"""
