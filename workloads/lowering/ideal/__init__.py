"""Work that any lowering of the forwards must do: the basis of the ideal bound."""
