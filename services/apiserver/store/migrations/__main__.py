"""Writes the next migration from what `tables.py` says: `python -m services.apiserver.store.migrations 0002 "add x"`.

Raise `schema.HEAD` afterwards, and read what was written: Alembic cannot know what becomes of the data.
"""

import sys

import sqlalchemy as sa
from alembic import command

from services.apiserver.store import schema


def main(number: str, message: str) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.upgrade(connection)
        command.revision(schema.configuration(connection), message=message, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
