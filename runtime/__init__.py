"""Adapters that both services share: clock, database writer, gRPC server, settings, logs."""
