"""Options of the commands, a file for each group; imports nothing heavy."""
