"""The machine that runs: its hardware and limits, the code that it runs, and what of it no record may say."""
