"""The participant as a service, one per domain, and the backends that it wraps."""
