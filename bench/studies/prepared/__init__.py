"""The cost of prepared data, measured on a table that is made up."""
