"""A forward's layers, whole or in row tiles: norms, MLP, experts, layers whose operators take different rows."""
