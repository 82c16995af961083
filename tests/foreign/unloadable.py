"""A module of another package that cannot be imported."""

raise SyntaxError("written for another Python")
