"""How far a run is, and how fast it goes."""
