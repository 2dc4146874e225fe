"""From what a caller passes to the connection string that the engine connects with."""
