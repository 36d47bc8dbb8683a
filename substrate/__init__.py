"""What exists, when it is free, what fits where: pure, no I/O."""
