"""What can be asked of the service: one router a file."""
