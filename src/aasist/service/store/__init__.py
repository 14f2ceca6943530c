"""What the service keeps: API keys, jobs and verdicts in SQLite or PostgreSQL; audio, where it must, in a private folder."""
