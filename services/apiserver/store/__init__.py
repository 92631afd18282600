"""The database of the apiserver: the one home of SQLAlchemy in this service. `store.sql.SqlStore` is the way in."""
