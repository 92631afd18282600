"""The database of the monitor: the one home of SQLAlchemy in this service. `store.sql.connect` is the way in."""
