"""What is decided before the first instruction: the machine and the model as seen, classes of forwards, places."""
