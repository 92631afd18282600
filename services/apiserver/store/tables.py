"""The tables. The migrations must produce exactly these; a test compares them.

Instants are seconds since the epoch. What is only ever read as a whole (a spec, a rollout) is one JSON document.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite fills an id by itself only in a column of type INTEGER.
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

apis = sa.Table(
    "apis",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("uid", sa.Text, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    # The gateway has one name space for paths, whatever namespace an API lives in.
    sa.Column("endpoint", sa.Text, nullable=False, unique=True),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("update_time", sa.Double, nullable=False),
    sa.Column("delete_time", sa.Double),
    sa.Column("target_revision", sa.Text, nullable=False),
    sa.Column("serving_revision", sa.Text, nullable=False),
    sa.Column("desired_replicas", sa.Integer, nullable=False),
    sa.Column("rollout", sa.JSON(none_as_null=True)),
    sa.Index(None, "namespace", "name"),
)

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("api", sa.Text, sa.ForeignKey("apis.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("uid", sa.Text, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("content_digest", sa.Text, nullable=False),
    sa.Column("create_time", sa.Double, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.UniqueConstraint("api", "id"),
)

# No foreign key: what happened to an API outlives it.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _COUNTER, primary_key=True, autoincrement=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("api", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("trace_id", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Index(None, "api", "id"),
    sa.Index(None, "namespace", "id"),
    # Ids only rise, even after the newest event was removed.
    sqlite_autoincrement=True,
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
    sa.Index(None, "time"),
)
