"""The sampling phase: scores, drawn tokens, and the transfer of those that commit."""
