"""The steps from judgements to a bundle, in order; each is a module with a function `run`."""
