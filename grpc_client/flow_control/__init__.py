"""Flow control of the calls: how many are in flight, how long an attempt may take, when a call is repeated."""
