"""From a recording to a verdict, without torch."""
