"""The one table. The migrations must produce exactly this; a test compares.

`counts` is a serialized cortex.monitor.v1.ReportMetricsRequest, in which a revision is the reporter: the wire format is
kept compatible anyway, so what is stored is as well.
"""

import sqlalchemy as sa

metadata = sa.MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"})

buckets = sa.Table(
    "buckets",
    metadata,
    sa.Column("api", sa.Text, primary_key=True),
    sa.Column("resolution", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Text, primary_key=True),
    sa.Column("counts", sa.LargeBinary, nullable=False),
    sa.Index(None, "resolution", "start"),
)
