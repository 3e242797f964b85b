"""SECOND: anchors at every place of the map, and how objects differ from them."""
