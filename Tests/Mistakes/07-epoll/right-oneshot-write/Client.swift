// Not needed.
