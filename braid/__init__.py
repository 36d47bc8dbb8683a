"""Braid's generated API (``braid.v1``) and the small client library (``braid.client``)."""
