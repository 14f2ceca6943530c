"""Live streams: what is said over a WebSocket, and what listens to it."""
