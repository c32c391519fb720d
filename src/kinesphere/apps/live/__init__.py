"""Front ends of a source that is watched: a browser page, a WebSocket for programs, a window."""
