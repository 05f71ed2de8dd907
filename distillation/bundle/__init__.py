"""From a trained student to a bundle: graphs, precision, parity, model card."""
