"""From any recording to windows of speech: reading, resampling, speech activity, quality, window placement."""
