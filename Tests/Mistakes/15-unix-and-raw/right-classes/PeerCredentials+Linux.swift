// Nothing of its own here.
