"""Two revisions measured side by side on this machine, by two workers whose samples are interleaved."""
