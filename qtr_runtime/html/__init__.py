"""Pages that programs write: markup, charts and the frame of one self-contained HTML page."""
