"""The table of buckets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "buckets",
        sa.Column("api", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("api", "resolution", "start", "revision", name=op.f("pk_buckets")),
    )
    op.create_index(op.f("ix_buckets_resolution_start"), "buckets", ["resolution", "start"])


def downgrade() -> None:
    op.drop_table("buckets")
