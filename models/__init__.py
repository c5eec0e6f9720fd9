"""Super-resolution networks, one a file, each equal to its authors' code. Needs torch only; knows nothing of bench."""
