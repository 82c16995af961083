"""Speed and memory of attention variants: where time goes, against what a machine allows. A section a file."""
