"""Where a finished image goes."""
