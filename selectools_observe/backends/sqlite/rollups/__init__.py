"""What the runs of a block add up to, kept next to the index, so that statistics read no trace."""
