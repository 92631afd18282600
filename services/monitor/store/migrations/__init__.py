"""Alembic's environment (`env.py`) and the migrations, oldest first (`versions/`)."""
