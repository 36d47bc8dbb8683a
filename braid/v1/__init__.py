"""Generated from protos/braid/v1; never edited."""
