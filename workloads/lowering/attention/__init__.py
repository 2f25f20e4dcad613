"""Attention of one layer: row work, loads of cached keys and values, and the orders in which they meet."""
