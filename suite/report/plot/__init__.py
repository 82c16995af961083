"""Plotly figures as plain data: no module here knows an experiment, and no other writes a trace."""
