"""The version of this distribution. Written here because reading it from metadata would cost every command 20 ms."""

VERSION = "1.0.0.dev0"
