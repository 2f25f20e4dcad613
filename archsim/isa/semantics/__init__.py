"""Values of instructions and number formats: pure numpy, no clock."""
