"""Decoding, in processes of their own: a recording is a stranger's bytes for native code."""
