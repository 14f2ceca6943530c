"""The HTTP service: recordings in, verdicts out, within limits that hold."""
