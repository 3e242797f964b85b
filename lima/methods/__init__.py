"""One file per pretraining method; light cards in `catalogue`."""
