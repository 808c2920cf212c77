"""Pure numbers: from what was recorded to figures, the frontier and operating points."""
