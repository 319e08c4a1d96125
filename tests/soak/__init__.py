"""The same again for a long time: nothing may grow, and nobody may be forgotten."""
