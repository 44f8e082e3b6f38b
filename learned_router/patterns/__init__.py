"""Ways of production to call models through a router. Knows the router; knows no client library and no server."""
