"""Facts of one file, from one pass over its syntax tree, as small tuples."""
