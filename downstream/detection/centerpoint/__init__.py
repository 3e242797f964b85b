"""CenterPoint: a heat map of centres for every class, and what a box is like at its centre."""
