"""Tables: files of other people become named columns."""
