"""The `cortex` command. Data goes to stdout, everything said to a person to stderr."""
