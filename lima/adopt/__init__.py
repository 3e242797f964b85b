"""Outside checkpoints -> our networks: recognise a layout, map its tensors, say what was used."""
