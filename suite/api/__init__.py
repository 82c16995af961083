"""Records as frames and figures, for Python and notebooks: what `suite.load` and `suite.plot` give."""
