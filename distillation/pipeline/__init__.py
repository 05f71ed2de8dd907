"""Steps that are skipped when nothing changed and resumed when interrupted."""
