"""Mock servers that others wrote: nothing in them can share a mistake of ours."""
