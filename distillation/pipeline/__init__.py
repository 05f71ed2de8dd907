"""The work folder, digests and progress: steps are skipped if nothing changed and resumed if interrupted."""
