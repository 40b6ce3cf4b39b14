"""Sources: a file of each kind as named columns that are not read yet."""
