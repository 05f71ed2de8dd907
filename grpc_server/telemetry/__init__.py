"""What watches the server: metrics, their endpoint, and traces."""
