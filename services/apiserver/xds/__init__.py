"""The gateway's configuration: a pure function of the routes, and the xDS server that gets it acknowledged."""
