"""How many calls are in flight, how long each may take, and when one is repeated."""
