"""The HTTP face of the bot. Reads requests, calls ``Bot``, writes replies; decides nothing."""
